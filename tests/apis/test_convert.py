"""mmdet's checkpoints as ours, through the command."""

import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

PAIRS = {
    'solo': ('solo/solo_r50_fpn_1x_coco.py', 'solo/solo_r50_fpn_1x_coco.py'),
    'decoupled-light': (
        'solo/decoupled-solo-light_r50_fpn_3x_coco.py',
        'solo/decoupled-solo-light_r50_fpn_3x_coco.py',
    ),
    'solov2': ('solov2/solov2_r50_fpn_1x_coco.py', 'solov2/solov2_r50_fpn_1x_coco.py'),
}


def convert(root, *args):
    command = [sys.executable, 'tools/model_converters/mmdet_to_mmagg.py', *map(str, args)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def mmdet_checkpoint(name, path, width=None):
    """A checkpoint of mmdet's model with random weights, as mmengine saves it."""
    from mmengine.hub import get_config

    cfg = get_config(f'mmdet::{name}')
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    meta = dict(epoch=12, dataset_meta=dict(classes=tuple(f'thing {i}' for i in range(80))))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), path)
    return model


@pytest.mark.parametrize('kind', PAIRS)
def test_checkpoint_fits_and_gives_the_same_detections(kind, root, tmp_path):
    theirs_name, ours_name = PAIRS[kind]
    theirs = mmdet_checkpoint(theirs_name, tmp_path / 'theirs.pth')
    config = root / 'configs' / ours_name
    done = convert(root, tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--config', config)
    assert done.returncode == 0, done.stderr
    content = torch.load(tmp_path / 'ours.pth', weights_only=True)
    assert content['meta']['dataset_meta']['classes'][3] == 'thing 3'
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    ours = MODELS.build(cfg.model)
    ours.load_state_dict(content['state_dict'], strict=True)
    feats = [torch.randn(1, 256, s, s) for s in (16, 8, 4, 2, 1)]
    with torch.no_grad():
        cls = theirs.mask_head.eval()(feats)[-2 if kind == 'solov2' else -1]
        expected = [x.sigmoid() for x in cls] if kind == 'solov2' else cls
        for mine, other in zip(ours.mask_head.eval()(feats)[0], expected, strict=True):
            found = other > 0  # mmdet's forward has already suppressed cells beside a maximum
            torch.testing.assert_close(mine.sigmoid()[found], other[found])


def test_a_checkpoint_that_does_not_fit_is_refused(root, tmp_path):
    mmdet_checkpoint('solo/solo_r50_fpn_1x_coco.py', tmp_path / 'theirs.pth')
    config = root / 'configs/solov2/solov2_r50_fpn_1x_coco.py'
    done = convert(root, tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--config', config)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()[-1]) > 0
    assert 'mask_head.mask_branch.tower' in done.stderr
    assert not (tmp_path / 'ours.pth').exists()


def test_missing_and_damaged_files_end_in_one_line(root, tmp_path):
    config = root / 'configs/solo/solo_r50_fpn_1x_coco.py'
    done = convert(root, tmp_path / 'nothing.pth', tmp_path / 'ours.pth', '--config', config)
    assert (done.returncode, 'no such file' in done.stderr, 'Traceback' in done.stderr) == (2, True, False)
    (tmp_path / 'broken.pth').write_bytes(b'not a checkpoint')
    done = convert(root, tmp_path / 'broken.pth', tmp_path / 'ours.pth', '--config', config)
    assert (done.returncode, 'Traceback' in done.stderr) == (2, False)
