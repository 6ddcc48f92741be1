"""tools/train.py and dist_train.sh as a user calls them."""

import csv
import json
import re
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.apis.run_summary import best_or_last
from mmagg.cli.main import COMMANDS, run


def read(checkpoint: Path) -> dict:
    """A training checkpoint, read as the tools do: as data only."""
    secure_loading()
    return load_checkpoint(checkpoint)


def logged_losses(checkpoint: dict) -> int:
    """The number of iterations whose losses the log in a training checkpoint holds."""
    return len(checkpoint['message_hub']['log_scalars']['train/loss'].data[0])


def test_trains_on_a_coco_folder(trained: Path) -> None:
    config = torch.load(trained / 'iter_2.pth', weights_only=False)['meta']['cfg']  # which is not read as data
    checkpoint = read(trained / 'iter_2.pth')
    assert logged_losses(checkpoint) == checkpoint['meta']['iter'] == 2
    assert checkpoint['meta']['dataset_meta']['classes'] == ('circle', 'square', 'triangle', 'star', 'ring')
    assert checkpoint['state_dict']['mask_head.conv_cls.weight'].shape[0] == 5
    # Both configs are for testing where mmagg may be unknown.
    assert (trained / 'tiny.py').read_text() == config
    assert "type='CheckpointHook'" in config
    assert 'cfg' not in checkpoint['meta']


def test_a_stopped_run_resumes_where_it_was(trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path):
    work_dir = tmp_path / 'moved'  # and the work dir may have been moved since
    shutil.copytree(trained, work_dir)
    (work_dir / 'iter_3.pth').write_bytes(b'half a checkpoint')  # killed while writing the next one
    arguments = [tiny_config, '--coco', shapes_folder, '--work-dir', work_dir, '--resume']
    assert run(COMMANDS['train'], [*map(str, arguments), '--cfg-options', 'train_cfg.max_iters=4']) == 0
    checkpoint = read(work_dir / 'iter_4.pth')
    assert logged_losses(checkpoint) == checkpoint['meta']['iter'] == 4
    assert not (work_dir / 'iter_5.pth').exists()


def test_a_longer_training_goes_on_by_the_config_and_names_the_next_command(
    trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    work_dir = tmp_path / 'a moved'
    shutil.copytree(trained, work_dir)
    arguments = ['--work-dir', work_dir, '--resume', '--cfg-options', 'train_cfg.max_iters=3']
    options = ['optim_wrapper.optimizer.lr=0.5', 'val_evaluator=None', 'val_cfg=None', 'val_dataloader=None']
    assert run(COMMANDS['train'], [str(tiny_config), '--coco', str(shapes_folder), *map(str, arguments), *options]) == 0
    out = capsys.readouterr().out.splitlines()
    assert sum('learning rate 0.01 → 0.5 from here' in line for line in out) == 1
    typed = shlex.split(out[-1])
    assert typed[0] == 'next:'
    assert typed[-2:] == [str(work_dir / 'tiny.py'), str(work_dir / 'iter_3.pth')]
    assert run(COMMANDS['test'], typed[-2:]) == 0  # on the folder of the training, which the config names
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith('coco/'))
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    absent = {name for name, value in metrics.items() if value == -1}
    assert absent
    assert {name for name, value in printed.items() if value == '–'} == absent


def test_a_finished_run_is_not_resumed_in_silence(
    trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    arguments = [str(tiny_config), '--coco', str(shapes_folder), '--work-dir']
    before = sorted(trained.rglob('*'))
    assert run(COMMANDS['train'], [*arguments, str(trained), '--resume']) == 0
    lines = capsys.readouterr().out.splitlines()
    line, following = next(one for one in lines if 'already trained 2 of 2 iterations' in one), lines[-1]
    assert '--cfg-options train_cfg.max_iters=' in line
    assert line.endswith(f'missing: `mmagg test {trained}/{tiny_config.name} {trained}/iter_2.pth`')
    assert following.endswith('iter_2.pth')
    assert sorted(trained.rglob('*')) == before
    # Who names a checkpoint asks for more than is done.
    assert run(COMMANDS['train'], [*arguments, str(tmp_path / 'other'), '--resume', str(trained / 'iter_2.pth')]) == 2
    assert 'already trained 2 of 2 iterations' in capsys.readouterr().err
    assert not (tmp_path / 'other').exists()


def test_the_best_checkpoint_is_the_one_to_test(tmp_path: Path) -> None:
    assert best_or_last(tmp_path) is None
    (tmp_path / 'epoch_2.pth').touch()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    assert best_or_last(tmp_path) == tmp_path / 'epoch_2.pth'
    (tmp_path / 'best_coco_segm_mAP_epoch_1.pth').touch()
    assert best_or_last(tmp_path) == tmp_path / 'best_coco_segm_mAP_epoch_1.pth'


def test_resume_refuses_another_model(trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys):
    arguments = [
        tiny_config,
        '--coco',
        shapes_folder,
        '--work-dir',
        tmp_path,
        '--resume',
        trained / 'iter_2.pth',
    ]
    code = run(COMMANDS['train'], [*map(str, arguments), '--cfg-options', 'model.mask_head.stacked_convs=2'])
    assert code == 2
    assert 'missing (mask_head.mask_convs.1' in capsys.readouterr().err


def test_resume_refuses_the_classes_in_another_order(
    trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    data = shutil.copytree(shapes_folder, tmp_path / 'data')
    for file in (data / 'annotations').iterdir():
        content = json.loads(file.read_text())
        content['categories'].reverse()
        file.write_text(json.dumps(content))
    arguments = [tiny_config, '--coco', data, '--work-dir', tmp_path / 'run', '--resume', trained / 'iter_2.pth']
    options = ['--cfg-options', 'train_cfg.max_iters=4']
    assert run(COMMANDS['train'], [*map(str, arguments), *options]) == 2
    assert 'in another order than the data' in capsys.readouterr().err
    assert not list((tmp_path / 'run').glob('*.py'))


def test_amp_on_the_cpu_is_bfloat16(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    from mmengine.config import Config

    arguments = [tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path, '--amp']
    assert run(COMMANDS['train'], [*map(str, arguments), '--cfg-options', 'train_cfg.max_iters=1']) == 0
    assert Config.fromfile(tmp_path / 'tiny.py').optim_wrapper.type == 'CPUAmpOptimWrapper'
    assert 'loss_scaler' not in read(tmp_path / 'iter_1.pth')['optimizer']


def started(config: Path, data: Path, work_dir: Path, *arguments: object) -> list[str]:
    """Arguments for a training in this process, where mmengine keeps visualizers by name."""
    words = [config, '--coco', data, '--work-dir', work_dir, *arguments, '--cfg-options', f'visualizer.name={work_dir}']
    return list(map(str, words))


def curves(work_dir: Path) -> list[dict]:
    """The rows of the table of curves; the picture must be there as well."""
    assert cv2.imread(str(work_dir / 'curves.png')) is not None
    return list(csv.DictReader((work_dir / 'curves.csv').open()))


@pytest.mark.slow
def test_validation_losses_are_in_the_curves(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    arguments = started(tiny_config, shapes_folder, tmp_path, '--val-loss', '--seed', 0)
    assert run(COMMANDS['train'], [*arguments, 'train_cfg.val_interval=1']) == 0
    rows = [row for row in curves(tmp_path) if row['val/loss']]
    assert [(row['kind'], row['iter']) for row in rows] == [('val', '1'), ('val', '2')]
    assert all(float(row['val/loss']) > float(row['val/loss_mask']) > 0 for row in rows)


def test_a_loss_that_is_not_finite_ends_in_one_line(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr('mmdet.models.losses.DiceLoss.forward', second_time(lambda loss: loss * float('nan')))
    assert run(COMMANDS['train'], started(tiny_config, shapes_folder, tmp_path)) == 3
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(error) == 1
    assert re.match(r'error: iteration 2: loss_mask is nan; images of the batch: ', error[0])
    named = re.findall(r'\S+\.png', error[0])
    assert len(named) == 2
    assert all(Path(name).is_file() and Path(name).parent == shapes_folder / 'images/train' for name in named)
    assert [row['iter'] for row in curves(tmp_path)] == ['1']
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_1.pth']


@pytest.mark.slow
def test_an_interrupted_run_has_curves_and_goes_on(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    def interrupt(loss: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('mmdet.models.losses.DiceLoss.forward', second_time(interrupt))
        assert run(COMMANDS['train'], started(tiny_config, shapes_folder, tmp_path)) == 130
    assert [row['iter'] for row in curves(tmp_path)] == ['1']
    time.sleep(1.1)  # mmengine names the log by the second
    assert run(COMMANDS['train'], started(tiny_config, shapes_folder, tmp_path, '--resume')) == 0
    assert logged_losses(read(tmp_path / 'iter_2.pth')) == 2


def second_time(change: Callable) -> Callable:
    """mmdet's dice loss, changed in the second iteration; there is one call a pyramid level with objects."""
    from mmdet.models.losses import DiceLoss
    from mmengine.logging import MessageHub

    forward = DiceLoss.forward

    def changed(*args, **kwargs):
        loss = forward(*args, **kwargs)
        return loss if MessageHub.get_current_instance().get_info('iter') == 0 else change(loss)

    return changed


@pytest.mark.slow
def test_curves_that_fail_do_not_fail_the_training(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr('mmagg.engine.learning_curves.plot_curves', lambda *_: 1 / 0)
    arguments = started(tiny_config, shapes_folder, tmp_path)
    assert run(COMMANDS['train'], [*arguments, 'train_cfg.max_iters=1']) == 0
    assert 'no learning curves: ZeroDivisionError' in next(tmp_path.glob('*/*.log')).read_text()


def test_tensorboard_that_is_not_installed_is_named(tiny_config: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)
    assert run(COMMANDS['train'], [str(tiny_config), '--work-dir', str(tmp_path / 'run'), '--tensorboard']) == 2
    assert 'pip install tensorboard' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_tensorboard_gets_both_losses(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    arguments = started(tiny_config, shapes_folder, tmp_path, '--tensorboard', '--val-loss')
    assert run(COMMANDS['train'], [*arguments, 'train_cfg.val_interval=2']) == 0
    events = EventAccumulator(str(next(tmp_path.glob('*/vis_data'))))
    events.Reload()
    assert [point.step for point in events.Scalars('loss')] == [1, 2]
    assert [point.step for point in events.Scalars('val/loss')] == [2]
    assert curves(tmp_path)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ('nowhere.py', 'config nowhere.py: no such file'),
        ('{config} --coco nowhere', '--coco nowhere: no such folder'),
        ('{config} --resume nowhere.pth', 'checkpoint nowhere.pth: no such file'),
        ('{config} --launcher pytorch', 'RANK is not set'),
        ('{config} --cfg-options model.mask_hed.num_classes=3', 'did you mean mask_head?'),
        ('{config} --cfg-options train_cfg.max_iter=3', 'did you mean max_iters or'),
        ('{config} --cfg-options train_dataloader=None', 'no `train_dataloader`'),
        ('{config} --coco {data} --cfg-options model.mask_head.type=Nothing', 'Nothing is not in the'),
        (
            '{config} --coco {data} --cfg-options model.mask_head.in_channels=-64',
            'in_channels=-64, where whole',
        ),
        (
            'mmdet::solo/solo_r50_fpn_1x_coco.py --cfg-options train_cfg.max_epochs=0',
            'train_cfg.max_epochs=0, where a number',
        ),
        ('{config} --cfg-options train_cfg.max_iters=0', 'train_cfg.max_iters=0, where a number from 1 is wanted'),
        ('{config} --coco {data} --cfg-options default_hooks.checkpoint.save_best=segm_mAP', 'mean coco/segm_mAP?'),
        ('{config} --cfg-options train_cfg.val_interval=0', 'train_cfg.val_interval=0, where a number'),
        ('{config} --cfg-options optim_wrapper.optimizer.type=Adma', "type='Adma': there is no such optimizer"),
        ('{config} --coco {data} --cfg-options train_dataloader.dataset.indices=0', 'indices=0: no image is left'),
        ("{config} --cfg-options custom_hooks=[dict(type='A',b=c())]", 'what is more goes into a config file'),
        ('{config} --cfg-options train_dataloader.batch_size=0', 'train_dataloader.batch_size=0, where a whole number'),
        ('{config} --cfg-options optim_wrapper.optimizer.lr=0,001', 'lr=[0, 1], where a number such as 0.001'),
    ],
)
def test_bad_input_is_one_line(
    arguments: str,
    message: str,
    tiny_config: Path,
    shapes_folder: Path,
    tmp_path: Path,
    capsys,
    monkeypatch,
):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    words = arguments.format(config=tiny_config, data=shapes_folder).split()
    position = words.index('--cfg-options') if '--cfg-options' in words else len(words)
    code = run(COMMANDS['train'], [*words[:position], '--work-dir', str(tmp_path / 'run'), *words[position:]])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert code == 2
    assert len(error) == 1
    assert message in error[0]
    assert not (tmp_path / 'run').exists()


def test_unknown_key_in_a_config_file_is_named(tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    config = tmp_path / 'typo.py'
    config.write_text(f'_base_ = {str(tiny_config)!r}\nmodel = dict(mask_head=dict(stacked_conv=1))\n')
    arguments = [config, '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
    assert run(COMMANDS['train'], [*map(str, arguments)]) == 2
    assert "unexpected keyword argument 'stacked_conv'" in capsys.readouterr().err


def test_a_fatal_finding_stops_before_anything_is_written(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
):
    broken = tmp_path / 'broken'
    shutil.copytree(shapes_folder, broken)
    (broken / 'images/train/000001.png').unlink()
    annotations = broken / 'annotations/instances_train.json'
    annotations.write_text(annotations.read_text().replace('"file_name": "000002.png"', '"name": "000002.png"'))
    work_dir = tmp_path / 'run'
    assert run(COMMANDS['train'], [str(tiny_config), '--coco', str(broken), '--work-dir', str(work_dir)]) == 2
    error = capsys.readouterr().err
    assert 'fatal' in error
    assert '--skip-check' in error
    assert not work_dir.exists()


def test_two_cpu_processes_train_together(run, tiny_config: Path, shapes_folder: Path, tmp_path: Path, monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        monkeypatch.setenv('PORT', str(free.getsockname()[1]))
    options = (
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'val_cfg=None',
        'val_dataloader=None',
        'val_evaluator=None',
    )
    done = run('dist_train.sh', tiny_config, 2, '--coco', shapes_folder, *options)
    assert done.returncode == 0, done.stderr
    assert logged_losses(read(tmp_path / 'iter_2.pth')) == 2
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('Iter(train) [2/2]') == 1  # by one of the two
    assert 'Distributed training is not used' not in log
