"""mmdet's checkpoints as ours, through the command."""

import resource
import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader

from mmagg.cli.main import COMMANDS, run

PAIRS = {
    'solo': ('solo/solo_r50_fpn_1x_coco.py', 'solo/solo_r50_fpn_1x_coco.py'),
    'decoupled-light': (
        'solo/decoupled-solo-light_r50_fpn_3x_coco.py',
        'solo/decoupled-solo-light_r50_fpn_3x_coco.py',
    ),
    'solov2': ('solov2/solov2_r50_fpn_1x_coco.py', 'solov2/solov2_r50_fpn_1x_coco.py'),
}


@pytest.fixture(autouse=True)
def _loading_restored(monkeypatch):
    """The tool decides for the whole process how checkpoints are read."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')


def convert(*args):
    return run(COMMANDS['convert-mmdet'], [*map(str, args)])


def mmdet_checkpoint(name, path):
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
def test_checkpoint_fits_and_gives_the_same_detections(kind, root, tmp_path, capsys):
    theirs_name, ours_name = PAIRS[kind]
    theirs = mmdet_checkpoint(theirs_name, tmp_path / 'theirs.pth')
    config = root / 'configs' / ours_name
    code = convert(tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--config', config)
    assert code == 0, capsys.readouterr().err
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


def test_another_method_is_refused_and_another_number_of_classes_named(root, tmp_path, capsys):
    mmdet_checkpoint('solo/solo_r50_fpn_1x_coco.py', tmp_path / 'theirs.pth')
    files = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    assert convert(*files, '--config', root / 'configs/solov2/solov2_r50_fpn_1x_coco.py') == 2
    assert capsys.readouterr().err == (
        "error: the checkpoint's mask branch is StaticMaskBranch, the config's DynamicMaskBranch: "
        'use a config of that method\n'
    )
    classes = 'model.mask_head.num_classes'
    config = root / 'configs/solo/solo_r50_fpn_1x_coco.py'
    assert convert(*files, '--config', config, '--cfg-options', f'{classes}=3') == 2
    assert capsys.readouterr().err == (
        f"error: the checkpoint's number of classes is 80, the config's 3: add --cfg-options {classes}=80\n"
    )
    assert not files[1].exists()


def test_missing_and_damaged_files_end_in_one_line(root, tmp_path, capsys):
    config = root / 'configs/solo/solo_r50_fpn_1x_coco.py'
    command = [sys.executable, 'tools/model_converters/mmdet_to_mmagg.py', tmp_path / 'nothing.pth', tmp_path / 'x.pth']
    done = subprocess.run([*command, '--config', config], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert 'nothing.pth: no such file' in done.stderr
    (tmp_path / 'broken.pth').write_bytes(b'not a checkpoint')
    assert convert(tmp_path / 'broken.pth', tmp_path / 'ours.pth', '--config', config) == 2
    assert 'Traceback' not in capsys.readouterr().err
    assert convert(tmp_path / 'broken.pth', tmp_path / 'broken.pth', '--config', config) == 2
    assert 'broken.pth: is an input' in capsys.readouterr().err


def test_a_full_disk_is_said_and_the_file_stays_as_it_was(root, tmp_path, capsys):
    source, target = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    mmdet_checkpoint('solo/solo_r50_fpn_1x_coco.py', source)
    target.write_text('old')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, before[1]))
    try:
        assert convert(source, target, '--config', root / 'configs/solo/solo_r50_fpn_1x_coco.py') == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capsys.readouterr().err.startswith(f'error: {target}: File too large')
    assert target.read_text() == 'old'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ours.pth', 'theirs.pth']
