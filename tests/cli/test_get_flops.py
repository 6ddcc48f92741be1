"""tools/analysis/get_flops.py as a user calls it."""

import json
import re
import socket
from pathlib import Path

import pytest

from mmagg.cli import count_flops as command
from mmagg.cli.main import run

OURS = """
_base_ = '{root}/configs/solo/solo_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=18, base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
    mask_head=dict(
        in_channels=32,
        grids=(8, 6, 4, 3, 2),
        class_tower=dict(channels=32, num_convs=1),
        mask_branch=dict(channels=32, num_convs=1)))
"""
BOXED = """
_base_ = '{root}/configs/blendmask/blendmask_r50_fpn_1x_coco.py'
tower = dict(num_convs=1, bias=True, norm_cfg=dict(type='GN', num_groups=4))
model = dict(
    backbone=dict(depth=18, base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    mask_head=dict(
        boxes=dict(in_channels=16, channels=16, class_tower=tower, box_tower=tower),
        masks=dict(basis=dict(in_channels=16, channels=8, num_convs=1)),
        coefficients=dict(in_channels=16),
        semantic=dict(in_channels=16, channels=8)))
"""
SMALL = ['--shape', '96', '128']
LOCATIONS = 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1  # at strides 8 to 128


@pytest.fixture
def ours(root: Path, tmp_path: Path) -> str:
    """A tiny SOLO with 129 grid cells, whose config names pretrained weights."""
    path = tmp_path / 'ours.py'
    path.write_text(OURS.format(root=root))
    return str(path)


@pytest.fixture
def boxed(root: Path, tmp_path: Path) -> str:
    """A tiny BlendMask."""
    path = tmp_path / 'boxed.py'
    path.write_text(BOXED.format(root=root))
    return str(path)


@pytest.fixture(autouse=True)
def _offline(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError('nothing may be downloaded')

    monkeypatch.setattr(socket.socket, 'connect', refuse)


def rows(out: str) -> dict[str, list[float]]:
    """The rows of the printed table."""
    found = re.findall(r'^(\S+) +([\d.]+) +([\d.]+) +([\d.]+)$', out, flags=re.MULTILINE)
    return {name: [float(number) for number in numbers] for name, *numbers in found}


def test_modern(ours, tmp_path, capsys) -> None:
    file = tmp_path / 'new' / 'flops.json'
    assert run(command, [ours, *SMALL, '--candidates', '43', '--json', str(file)]) == 0
    captured = capsys.readouterr()
    assert 'on the CPU' not in captured.err
    assert 'input       1 × 3 × 96 × 128' in captured.out
    assert 'modern, 43 masks decoded' in captured.out
    assert 'not counted' not in captured.out

    table = rows(captured.out)
    heads = ['class_tower', 'conv_cls', 'mask_branch', 'decode']
    assert list(table) == ['backbone', 'neck', *(f'mask_head.{name}' for name in heads), 'total']
    report = json.loads(file.read_text())
    assert (report['config'], report['shape'], report['candidates']) == (ours, [96, 128], 43)
    assert report['device'] == 'meta'
    # Every third of the 129 cells: 22, 12, 5, 3, 1 by level, and a row of 32 multiply-adds per pixel for each.
    assert report['parts']['mask_head.decode']['macs'] == 32 * (192 * (22 + 12) + 48 * 5 + 12 * (3 + 1))
    assert report['parts']['mask_head.conv_cls']['params'] == 80 * (32 * 9 + 1)
    for key in ('params', 'trainable', 'macs'):
        assert report['total'][key] == sum(part[key] for part in report['parts'].values())
    params, trainable, macs = table['total']
    assert params == pytest.approx(report['total']['params'] / 1e6, abs=6e-4)
    assert trainable == pytest.approx(report['total']['trainable'] / 1e6, abs=6e-4)
    assert macs == pytest.approx(report['total']['macs'] / 1e9, abs=6e-3)
    assert trainable < params


def test_the_default_is_300_candidates_or_all_cells(ours, capsys) -> None:
    assert run(command, [ours, *SMALL]) == 0
    assert '129 masks decoded' in capsys.readouterr().out
    options = ['--cfg-options', 'model.mask_head.grids=[20,6,4,3,2]']
    assert run(command, [ours, *SMALL, *options]) == 0
    assert '300 masks decoded' in capsys.readouterr().out


def test_paper(ours, tmp_path, capsys) -> None:
    file = tmp_path / 'flops.json'
    assert run(command, [ours, *SMALL, '--convention', 'paper', '--json', str(file)]) == 0
    out = capsys.readouterr().out
    assert 'convention  paper\n' in out
    assert 'not counted: GroupNorm (10 calls)' in out
    report = json.loads(file.read_text())
    assert report['candidates'] is None
    # The masks of all cells, at twice the size of each level: weights and a bias.
    maps = 4 * 33 * (192 * (64 + 36) + 48 * 16 + 12 * (9 + 4))
    tower = (192 * 2 + 48 + 12 * 2) * (34 * 9 * 32 + 32)  # and its ReLU
    assert report['parts']['mask_head.mask_branch']['macs'] == maps + tower


def test_masks_in_boxes(boxed, tmp_path, capsys) -> None:
    file = tmp_path / 'flops.json'
    assert run(command, [boxed, *SMALL, '--json', str(file)]) == 0
    captured = capsys.readouterr()
    assert 'on the CPU' not in captured.err
    assert 'modern, 100 masks decoded' in captured.out, 'as many as boxes are kept'
    assert 'not complete unless it is for training alone: mask_head.semantic' in captured.out
    parts = ['boxes', 'masks', 'coefficients', 'semantic']
    assert list(rows(captured.out)) == ['backbone', 'neck', *(f'mask_head.{name}' for name in parts), 'total']
    assert json.loads(file.read_text())['parts']['mask_head.coefficients']['macs'] == 100 * 784 * 9 * 16

    for more, number in (['--candidates', str(LOCATIONS)], LOCATIONS), (['--shape', '32', '32'], 16 + 4 + 3):
        assert run(command, [boxed, *SMALL, *more, '--json', str(file)]) == 0
        assert json.loads(file.read_text())['candidates'] == number
    assert run(command, [boxed, *SMALL, '--convention', 'paper', '--json', str(file)]) == 0
    assert json.loads(file.read_text())['parts']['mask_head.coefficients']['macs'] == LOCATIONS * 784 * (9 * 16 + 1)


def test_mean_over_the_images_of_a_file(ours, tmp_path, capsys) -> None:
    """Resized to 1333 x 800 by the config, padded to multiples of 32: three images of two sizes."""
    sizes = (480, 640), (480, 640), (640, 427)
    images = [dict(id=i, file_name=f'{i}.jpg', height=h, width=w) for i, (h, w) in enumerate(sizes)]
    (tmp_path / 'ann.json').write_text(json.dumps(dict(images=images, categories=[dict(id=1, name='thing')])))
    reports = []
    for more in ['--ann', tmp_path / 'ann.json'], ['--shape', 800, 1088], ['--shape', 1216, 800]:
        options = [*more, '--convention', 'paper', '--by-level', '--json', tmp_path / 'flops.json']
        assert run(command, [ours, *map(str, options)]) == 0
        reports.append(json.loads((tmp_path / 'flops.json').read_text()))
    mean, wide, tall = reports
    assert 'mean over the 3 images of' in (out := capsys.readouterr().out)
    assert f'{tmp_path / "ann.json"}: 2 padded sizes, each counted once' in out
    assert mean['averaged'] == {'annotations': str(tmp_path / 'ann.json'), 'images': 3, 'sizes': 2}
    for name, cost in mean['parts'].items():
        assert cost['macs'] == round((2 * wide['parts'][name]['macs'] + tall['parts'][name]['macs']) / 3)
        assert cost['params'] == wide['parts'][name]['params']
    for part, levels in mean['levels'].items():
        assert sum(levels.values()) == pytest.approx(mean['parts'][part]['macs'], abs=6)
        for level, macs in levels.items():
            assert macs == round((2 * wide['levels'][part][level] + tall['levels'][part][level]) / 3)


def test_levels_of_grid_masks(ours, tmp_path, capsys) -> None:
    file = tmp_path / 'flops.json'
    assert run(command, [ours, *SMALL, '--convention', 'paper', '--by-level', '--json', str(file)]) == 0
    assert 'FLOPs [G] by level, the finest first' in capsys.readouterr().out
    levels = json.loads(file.read_text())['levels']
    places, grids = (192, 192, 48, 12, 12), (8, 6, 4, 3, 2)
    tower = 34 * 9 * 32 + 32
    for level, (place, grid) in enumerate(zip(places, grids, strict=True)):
        assert levels['mask_head.mask_branch'][str(level)] == place * (4 * 33 * grid**2 + tower)
        assert levels['mask_head.conv_cls'][str(level)] == 80 * (32 * 9 + 1) * grid**2
    assert not any(part['all'] for part in levels.values())


def test_levels_of_masks_in_boxes(boxed, tmp_path) -> None:
    file = tmp_path / 'flops.json'
    assert run(command, [boxed, *SMALL, '--convention', 'paper', '--by-level', '--json', str(file)]) == 0
    report = json.loads(file.read_text())
    coefficients = report['levels']['mask_head.coefficients']
    assert [coefficients[str(level)] for level in range(5)] == [n * 784 * (9 * 16 + 1) for n in (192, 48, 12, 4, 1)]
    assert report['levels']['mask_head.masks']['all'] == report['parts']['mask_head.masks']['macs']


def test_deformable_towers_are_counted_by_their_shapes(root, capsys) -> None:
    argv = [str(root / 'configs/meinst/meinst_r50_fpn_1x_coco.py'), *SMALL, '--convention', 'paper']
    assert run(command, argv) == 0
    assert 'on the CPU' not in capsys.readouterr().err


@pytest.mark.parametrize(
    'more, line',
    [
        (['--by-level'], '--by-level: only the paper convention'),
        (['--ann', 'absent.json'], '--ann absent.json: no such file'),
        (['--coco', 'absent'], '--coco absent: no such folder'),
        (['--coco', 'configs'], 'configs/annotations/instances_val.json is missing'),
        (['--ann', 'x.json', '--coco', 'x'], '--ann and --coco: give one of them'),
        (['--ann', 'x.json', *SMALL], '--shape: with --ann or --coco'),
    ],
)
def test_what_cannot_be_averaged_or_split(ours, capsys, more, line) -> None:
    assert run(command, [ours, *more]) == 2
    assert line in capsys.readouterr().err


def test_one_config_of_mmdet_that_needs_values(tmp_path, capsys) -> None:
    file = tmp_path / 'flops.json'
    options = ['--cfg-options', 'model.backbone.depth=18', 'model.neck.in_channels=[64,128,256,512]']
    argv = ['mmdet::yolact/yolact_r50_1xb8-55e_coco.py', *SMALL, '--json', str(file), *options]
    assert run(command, argv) == 0
    captured = capsys.readouterr()
    assert 'shapes do not suffice' in captured.err
    assert 'did not run, so the FLOPs are not complete unless it is for training alone: mask_head.segm_branch' in (
        captured.out
    )
    report = json.loads(file.read_text())
    assert report['device'] == 'cpu'
    assert report['parts']['mask_head.protonet']['macs'] > 0


@pytest.mark.parametrize(
    'argv, message',
    [
        (['{missing}'], 'no such file'),
        (['{ours}', '--json', '{folder}'], 'is a folder'),
        (['{ours}', '--cfg-options', 'model.bakbone.depth=18'], 'did you mean backbone'),
        (['{ours}', *SMALL, '--candidates', '130'], '--candidates 130: the head has only 129 grid cells'),
        (['{boxed}', *SMALL, '--candidates', '258'], '--candidates 258: the head has only 257 locations'),
        (['configs/meinst/fcos_r50_fpn_1x_coco.py', '--candidates', '9'], '--candidates: only .* heads with masks'),
        (['{ours}', *SMALL, '--candidates', '9', '--convention', 'paper'], '--candidates: only the modern convention'),
        (['mmdet::solo/solo_r50_fpn_1x_coco.py', '--candidates', '9'], "--candidates: only .* mmagg's own heads"),
        (
            [
                '{ours}',
                '--coco',
                '{folder}',
                '--cfg-options',
                'test_dataloader.dataset.ann_file=annotations/other.json',
            ],
            'test_dataloader.dataset.ann_file: .* the images are those of --ann or --coco',
        ),
        (
            ['{ours}', '--ann', '{missing}', '--cfg-options', 'test_dataloader=dict(dataset=dict(data_root=here))'],
            'test_dataloader.dataset.data_root: .* the images are those of --ann or --coco',
        ),
        (['{ours}', '--cfg-options', 'model.neck.out_channels=-8'], 'model.neck.out_channels=-8, where whole numbers'),
        (
            ['{ours}', '--cfg-options', 'model.backbone.depth=19'],
            'the model cannot be built: ResNet: KeyError: .*depth 19',
        ),
        (
            ['{ours}', *SMALL, '--cfg-options', 'model.neck.in_channels=[8,16,32,65]'],
            r'config .*ours.py does not run on 1 × 3 × 96 × 128: RuntimeError: .* to have 65 channels',
        ),
    ],
)
def test_what_cannot_be_counted_ends_with_one_line(argv, message, ours, boxed, tmp_path, capsys) -> None:
    names = {'missing': tmp_path / 'missing.py', 'ours': ours, 'boxed': boxed, 'folder': tmp_path}
    assert run(command, [word.format(**names) for word in argv]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(f'error: .*{message}', error), error


@pytest.mark.parametrize('argv', [['--shape', '96'], ['--shape', '0', '96'], ['--convention', 'old']])
def test_arguments_are_checked(argv, ours, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(command, [ours, *argv])
    assert stopped.value.code == 2
    assert f'argument {argv[0]}' in capsys.readouterr().err


def test_help_says_what_is_counted(capsys) -> None:
    with pytest.raises(SystemExit):
        run(command, ['--help'])
    out = capsys.readouterr().out
    for words in ('conventions:', 'batch\n          normalisation', '1000 boxes and 100 masks', 'example: python'):
        assert words in out


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/get_flops.py', tmp_path / 'missing.py')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'no such file' in done.stderr
