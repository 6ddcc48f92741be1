"""tools/analysis/benchmark.py on tiny models."""

import json
import re
from pathlib import Path
from statistics import median

import pytest

from mmagg.cli import benchmark as command
from mmagg.cli.main import run

BACKBONE = """
    backbone=dict(depth=18, base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
"""
OURS = """
_base_ = '{root}/configs/solo/solo_r50_fpn_1x_coco.py'
model = dict({backbone}
    mask_head=dict(
        in_channels=32,
        grids=(12, 10, 8, 6, 4),
        class_tower=dict(channels=32, num_convs=1),
        mask_branch=dict(channels=32, num_convs=1)))
"""
THEIRS = """
_base_ = 'mmdet::solo/solo_r50_fpn_1x_coco.py'
model = dict({backbone}
    mask_head=dict(in_channels=32, feat_channels=32, stacked_convs=1, num_grids=[12, 10, 8, 6, 4]))
"""
BLENDMASK = """
_base_ = '{root}/configs/blendmask/blendmask_r50_fpn_1x_coco.py'
tower = dict(num_convs=1, norm_cfg=dict(num_groups=8))
model = dict({backbone}
    mask_head=dict(
        boxes=dict(in_channels=32, channels=32, class_tower=tower, box_tower=tower),
        coefficients=dict(in_channels=32),
        masks=dict(basis=dict(in_channels=32, channels=16)),
        semantic=dict(in_channels=32, channels=16)))
"""
CONDINST = """
_base_ = 'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py'
model = dict({backbone}
    bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1, norm_cfg=dict(type='GN', num_groups=8)),
    mask_head=dict(mask_feature_head=dict(in_channels=32, feat_channels=16)))
"""
SMALL = ['--shape', '96', '128', '--runs', '2']


@pytest.fixture
def configs(root: Path, tmp_path: Path) -> tuple[str, str]:
    """A tiny SOLO, ours and mmdet's, of the same shape; pretrained weights are named but must not be fetched."""
    paths = tmp_path / 'ours.py', tmp_path / 'theirs.py'
    for path, text in zip(paths, (OURS, THEIRS), strict=True):
        path.write_text(text.format(root=root, backbone=BACKBONE))
    return str(paths[0]), str(paths[1])


@pytest.fixture
def boxed_configs(root: Path, tmp_path: Path) -> tuple[str, str]:
    """A tiny BlendMask and mmdet's CondInst, of the same backbone and towers."""
    paths = tmp_path / 'blendmask.py', tmp_path / 'condinst.py'
    for path, text in zip(paths, (BLENDMASK, CONDINST), strict=True):
        path.write_text(text.format(root=root, backbone=BACKBONE))
    return str(paths[0]), str(paths[1])


def row(out: str, name: str) -> list[float]:
    """The numbers of a row of the printed table."""
    line = next(line for line in out.splitlines() if line.startswith(f'{name}  '))
    return [float(number) for number in re.findall(r'\d+\.\d+', line)]


def test_two_models_side_by_side(configs, tmp_path, capsys) -> None:
    file = tmp_path / 'new' / 'result.json'
    assert run(command, [configs[0], '--vs', configs[1], *SMALL, '--candidates', '40', '--json', str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count(': 40 candidates, ') == 2
    assert "the same in both (mmdet's, renamed)" in out
    assert len(row(out, 'above the backbone')) == 3

    report = json.loads(file.read_text())
    # From the exact times: the printed ones are rounded, and of a small model that is a per cent.
    ours, theirs = (median(run['total'] for run in model['runs_ms']) for model in report['models'])
    assert row(out, 'total') == pytest.approx([ours, theirs, ours / theirs], abs=0.0501)
    assert row(out, 'total')[2] == pytest.approx(ours / theirs, abs=0.00501)
    assert [model['config'] for model in report['models']] == list(configs)
    assert report['hardware']['cpu']
    for model in report['models']:
        assert len(model['runs_ms']) == 2
        stages = model['runs_ms'][0]
        parts = ('backbone', 'neck', 'head', 'decode', 'post', 'RLE')
        assert sum(stages[part] for part in parts) == pytest.approx(stages['total'])
    # The same weights: the same candidates, and as many instances.
    assert report['models'][0]['instances'] == report['models'][1]['instances'] > 5
    assert report['models'][0]['memory_mib']['all'] < report['models'][1]['memory_mib']['all']


def test_boxed_masks_have_as_many_detections_in_both(boxed_configs, tmp_path, capsys) -> None:
    file = tmp_path / 'result.json'
    argv = [boxed_configs[0], '--vs', boxed_configs[1], '--runs', '1', '--candidates', '25', '--json', str(file)]
    assert run(command, [*argv, '--shape', '192', '256']) == 0
    out = capsys.readouterr().out
    assert out.count(': 250 candidates, 25 instances, ') == 2
    for name in ('head', 'decode', 'post', 'RLE', 'head to RLE', 'total'):
        assert all(value > 0 for value in row(out, name))
    ours, theirs = json.loads(file.read_text())['models']
    for model in (ours, theirs):
        stages = model['runs_ms'][0]
        assert stages['head to RLE'] == pytest.approx(sum(stages[x] for x in ('head', 'decode', 'post', 'RLE')))
    # CondInst's masks are images of float32.
    assert theirs['memory_mib']['above the backbone'] > 25 * 192 * 256 * 4 / 2**20
    assert theirs['memory_mib']['all'] > ours['memory_mib']['all']


def test_a_hundred_detections_where_nothing_else_is_said(boxed_configs, capsys) -> None:
    assert run(command, [boxed_configs[0], '--runs', '1', '--shape', '192', '256']) == 0
    assert ': 1000 candidates, 100 instances, ' in capsys.readouterr().out


def test_the_layout_of_the_weights_can_be_chosen(configs, capsys) -> None:
    for argv, layout in ([], 'channels_last'), (['--layout', 'contiguous'], 'contiguous'):
        assert run(command, [configs[0], *SMALL, '--runs', '1', *argv]) == 0
        assert f' instances, {layout}\n' in capsys.readouterr().out


def test_training(configs, capsys) -> None:
    argv = [configs[0], '--vs', configs[1], *SMALL, '--train', '--batch-size', '1', '--objects', '3']
    assert run(command, argv) == 0
    out = capsys.readouterr().out
    assert '1 × 3 × 96 × 128, 3 objects per image' in out
    for name in ('after towers', 'towers backward', 'step'):
        assert all(value > 0 for value in row(out, name))
    first, last = out.index('training step [ms]'), out.index('peak memory [MiB]')
    assert len(row(out[first:last], 'head + loss')) == len(row(out[last:], 'head + loss')) == 3


def test_one_config_of_mmdet_made_tiny_by_options(capsys) -> None:
    options = [
        'model.backbone.depth=18',
        'model.backbone.base_channels=8',
        'model.neck.in_channels=[8,16,32,64]',
        'model.neck.out_channels=32',
        'model.mask_head.in_channels=32',
        'model.mask_head.feat_channels=32',
        'model.mask_head.stacked_convs=1',
        'model.mask_head.num_grids=[12,10,8,6,4]',
    ]
    assert run(command, ['mmdet::solo/solo_r50_fpn_1x_coco.py', *SMALL, '--cfg-options', *options]) == 0
    out = capsys.readouterr().out
    assert 'mmdet::solo/solo_r50_fpn_1x_coco.py: 300 candidates' in out
    assert 'A / B' not in out
    assert len(row(out, 'total')) == 1


def test_models_of_other_shapes_are_compared_with_weights_of_their_own(configs, tmp_path, capsys) -> None:
    other = tmp_path / 'deeper.py'
    other.write_text(f"_base_ = '{configs[0]}'\nmodel = dict(mask_head=dict(mask_branch=dict(num_convs=2)))\n")
    assert run(command, [configs[0], '--vs', str(other), *SMALL, '--candidates', '20']) == 0
    out = capsys.readouterr().out
    assert 'not the same' in out
    assert out.count(': 20 candidates, ') == 2


@pytest.mark.parametrize(
    'argv, message',
    [
        (['{missing}'], 'no such file'),
        (['{ours}', '--vs', '{missing}'], 'no such file'),
        (['{ours}', '--shape', '100', '128'], '--shape 100 128: both must be multiples of 32'),
        (['{ours}', *SMALL, '--candidates', '10000000'], 'only [0-9]+ local maxima'),
        (['{ours}', '--json', '{folder}'], 'is a folder'),
        (['{ours}', '--device', 'nowhere'], '--device nowhere'),
        (['{ours}', '--cfg-options', 'model.bakbone.depth=18'], 'did you mean backbone'),
        (
            ['mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', '--candidates', '5'],
            '--candidates: the head of .* is not of the SOLO family',
        ),
    ],
)
def test_what_cannot_be_measured_ends_with_one_line(argv, message, configs, tmp_path, capsys) -> None:
    names = {'missing': tmp_path / 'missing.py', 'ours': configs[0], 'folder': tmp_path}
    assert run(command, [word.format(**names) for word in argv]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    assert re.search(message, error), error


@pytest.mark.parametrize('argv', [['--runs', '0'], ['--shape', '96'], ['--candidates', 'many'], ['--objects', '-1']])
def test_numbers_are_checked(argv, configs, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(command, [configs[0], *argv])
    assert stopped.value.code == 2
    assert f'argument {argv[0]}' in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/benchmark.py', tmp_path / 'missing.py')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'no such file' in done.stderr
