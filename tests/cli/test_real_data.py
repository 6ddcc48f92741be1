"""`--coco` on real folders, as they are: check, train, test, pictures."""

import json

import pytest

CONFIG = 'configs/demo/solo_tiny_fit.py'
SETS = {'nuts_18': 3, 'coco_open_125': 80}


@pytest.mark.parametrize('name', ['nuts_18', pytest.param('coco_open_125', marks=pytest.mark.slow)])
def test_train_and_test_run_on_a_real_folder(name, root, shared, run, tmp_path):
    folder = shared / 'data' / name
    few = [
        'train_dataloader.dataset.indices=4',
        'val_dataloader.dataset.indices=4',
        'test_dataloader.dataset.indices=4',
    ]
    fast = [
        'train_cfg.max_epochs=2',
        'train_dataloader.batch_size=2',
        'param_scheduler=None',
        'model.test_cfg.score_thr=0.005',
    ]
    options = ['--cfg-options', *few, *fast, 'default_hooks.checkpoint.interval=1', 'train_cfg.val_interval=2']
    done = run('train.py', CONFIG, '--coco', folder, '--work-dir', tmp_path, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    config = tmp_path / 'solo_tiny_fit.py'
    pictures = tmp_path / 'pictures'
    outputs = ['--out', tmp_path / 'results.json', '--show-dir', pictures, '--show-score-thr', '0.0']
    done = run('test.py', config, tmp_path / 'epoch_2.pth', '--work-dir', tmp_path / 'test', *outputs)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(pictures.iterdir())) == 4
    results = json.loads((tmp_path / 'results.json').read_text())
    truth = json.loads((folder / 'annotations' / 'instances_val.json').read_text())
    assert len(truth['categories']) == SETS[name]
    assert {r['category_id'] for r in results} <= {c['id'] for c in truth['categories']}
    assert all(r['bbox'][2] > 0 and r['bbox'][3] > 0 for r in results), 'boxes come from the masks'
    assert results, 'at this threshold even an untrained model finds something'
