"""tools/analysis/show_representations.py as a user calls it."""

import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config
from mmagg.apis.inference import infer, load_model
from mmagg.cli import show_representations as command
from mmagg.cli.main import run
from mmagg.inside import show_representations as tool
from mmagg.visualization.canvas import MARGIN
from mmagg.visualization.panel_sheet import BELOW, COLUMN_GAP, HEADING, TITLE

HEIGHT, WIDTH = 360, 480  # of a panel of the image
GRID = 10
CONFIG = """
_base_ = '{root}/configs/demo/solo_tiny_shapes.py'
model = dict(
    mask_head=dict({head}),
    test_cfg=dict(nms=dict(_delete_=True, type='MaskNMS', iou_thr=0.5), filter_thr=0.0, nms_pre=50))
"""
AGGREGATOR = """aggregator=dict(
    type='DynamicAggregator', neighbours='{pattern}',
    context=dict(type='MultiLevelContext', in_channels=64, num_levels=1, channels=4, hidden_channels=None),
    parameters=dict(type='DynamicParameters', in_channels=64, channels=64))"""


class Case(NamedTuple):
    """Models with random weights, a folder, and an image in it."""

    folder: Path

    @property
    def image(self) -> Path:
        """The image."""
        return self.folder / 'image.png'

    def model(self, name: str) -> list[Path]:
        """Config and checkpoint."""
        return [self.folder / f'{name}.py', self.folder / f'{name}.pth']

    def run(self, name: str, *more: object) -> int:
        """Run the tool on a model and the image."""
        return run(command, [str(x) for x in (*self.model(name), self.image, *more)])


@pytest.fixture(scope='module')
def case(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A plain model and two with an aggregator: of four neighbours, and of context alone."""
    case = Case(tmp_path_factory.mktemp('models'))
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    cv2.imwrite(str(case.image), cv2.resize(picture, (120, 90), interpolation=cv2.INTER_CUBIC))
    heads = {'plain': '', 'coarse': 'grids=(5,)', 'wide': 'grids=(40,)'}
    heads |= {'aggmask': AGGREGATOR.format(pattern='4'), 'context': AGGREGATOR.format(pattern='none')}
    for name, head in heads.items():
        config, checkpoint = case.model(name)
        config.write_text(CONFIG.format(root=root, head=head))
        cfg = load_config(config)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        with torch.no_grad():
            for conv in model.mask_head.mask_branch.convs:
                conv.weight.normal_(std=0.1)
                conv.bias.fill_(-0.5)
            model.mask_head.conv_cls.weight.normal_(std=0.1)
            model.mask_head.conv_cls.bias.fill_(-2)
        torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': cfg.classes}}}, checkpoint)
    return case


def sheet_shape(rows: int, columns: int) -> tuple[int, int, int]:
    """Of a sheet of panels."""
    height = MARGIN + HEADING + TITLE + rows * (HEIGHT + BELOW)
    return height, 2 * MARGIN + columns * (WIDTH + COLUMN_GAP) - COLUMN_GAP, 3


def panel(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """The picture of a panel."""
    top, left = MARGIN + HEADING + TITLE + row * (HEIGHT + BELOW), MARGIN + column * (WIDTH + COLUMN_GAP)
    return sheet[top : top + HEIGHT, left : left + WIDTH]


@pytest.mark.parametrize(
    'name, more, rows, columns',
    [
        ('aggmask', [], 4, 3),
        ('aggmask', ['--plain', 'plain', '--instances', 2], 2, 4),
        ('aggmask', ['--plain', 'coarse', '--instances', 1], 1, 4),  # another grid
        ('plain', ['--instances', 3], 3, 3),
        ('context', ['--instances', 1], 1, 2),  # nothing but context to aggregate
    ],
)
def test_a_row_per_instance(case: Case, tmp_path: Path, name: str, more: list, rows: int, columns: int) -> None:
    if '--plain' in more:
        more = [*more[:1], *case.model(more[1]), *more[2:]]
    out = tmp_path / 'deep' / 'out.png'
    assert case.run(name, '--out', out, *more) == 0
    sheet = cv2.imread(str(out))
    assert sheet.shape == sheet_shape(rows, columns)
    for row in range(rows):
        for column in range(columns):
            assert panel(sheet, row, column).std() > 5
        crosses = columns - 2 if name != 'context' else 0
        for column in range(1, 1 + crosses):  # up, left, itself, right, down: the corners are white
            shown = panel(sheet, row, column)
            assert (shown[: HEIGHT // 3 - 4, : WIDTH // 3 - 4] == 255).all()
            assert (shown[HEIGHT // 3 : -HEIGHT // 3, WIDTH // 3 : -WIDTH // 3] < 255).any()


def test_what_is_shown_is_what_the_model_makes(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {'logits_panel': [], 'probs_panel': []}
    for name, calls in shown.items():
        original = getattr(tool, name)
        monkeypatch.setattr(
            tool, name, lambda *args, calls=calls, original=original: calls.append(args[1]) or original(*args)
        )
    plain = case.model('plain')
    assert case.run('aggmask', '--instances', 2, '--plain', *plain, '--out', tmp_path / 'out.png') == 0

    model, baseline = load_model(*case.model('aggmask')), load_model(*plain)
    found = infer(model, [case.image])[0].pred_instances
    head, outputs = model.mask_head, []
    for net in (model, baseline):
        hook = net.mask_head.register_forward_hook(lambda head, feats, output: outputs.append((*feats, *output)))
        infer(net, [case.image])
        hook.remove()
    (feats, _, masks), (_, _, plain_masks) = outputs
    with torch.no_grad():
        [local] = head.mask_branch(feats, head.resize(feats))
        for i, cell in enumerate(found.cells[:2].tolist()):
            row, column = divmod(cell, GRID)
            around = [(row - 1, column), (row, column - 1), (row, column), (row, column + 1), (row + 1, column)]
            around = [min(max(r, 0), 9) * GRID + min(max(c, 0), 9) for r, c in around]
            representations, baselines, mask = (*shown['logits_panel'][i : i + 1], *shown['probs_panel'][2 * i :][:2])
            assert representations.cells.tolist() == baselines.cells.tolist() == around
            cells = torch.tensor(around)
            torch.testing.assert_close(representations.maps, local.at(0, cells))
            torch.testing.assert_close(baselines.maps, plain_masks[0].at(0, cells).sigmoid())
            assert mask.cells.tolist() == [cell]
            decoded = head.decode(masks, 0, np.array([cell]), torch.device('cpu'))
            torch.testing.assert_close(mask.maps, decoded, rtol=0, atol=0)


@pytest.mark.parametrize('name, grid', [('plain', 10), ('aggmask', 10), ('wide', 40)])
def test_a_sheet_of_all_cells(case: Case, tmp_path: Path, name: str, grid: int) -> None:
    assert case.run(name, '--sheet', 0, '--out', tmp_path / 'out.jpg') == 0
    sheet = cv2.imread(str(tmp_path / 'out.jpg'))
    size = {10: (90, 120), 40: (46, 62)}[grid]  # thumbnails, at most 3000 pixels in all
    assert sheet.shape[1] <= 3000
    top, left = sheet.shape[0] - MARGIN - grid * (size[0] + 1), sheet.shape[1] - MARGIN - grid * (size[1] + 1)
    assert top > 50
    assert left > 400
    assert sheet[top - 3 : top - 1, left:].min() > 128, 'thumbnails begin here'
    assert all(sheet[top:, left + i * (size[1] + 1) :][: size[0], : size[1]].std() > 5 for i in range(grid))


def test_names_of_results(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert case.run('plain', '--instances', 1) == 0
    assert case.run('plain', '--sheet', 0) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'written to image_level0.png'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['image_level0.png', 'image_representations.png']


@pytest.mark.parametrize(
    'more, message',
    [
        (['--score-thr', '1'], r'no instance has a score of 1 or more, the best has 0\.\d\d\d; lower --score-thr'),
        (
            ['--cfg-options', 'model.test_cfg.score_thr=0.99999'],
            r'finds nothing in it; lower model.test_cfg.score_thr \(0.99999\) with --cfg-options',
        ),
        (['--sheet', '1'], r'--sheet 1: the model has levels 0 to 0'),
        (['--sheet', '-1'], r'--sheet -1: the model has levels 0 to 0'),
        (['--sheet', '0', '--plain', 'a', 'b'], 'leave out --plain'),
        (['--plain', 'a', 'b'], 'config a: no such file'),
        (['--out', '{image}'], 'is an input'),
        (['--device', 'nowhere'], '--device nowhere'),
    ],
)
def test_what_cannot_be_shown_ends_with_one_line(case: Case, tmp_path, monkeypatch, capsys, more, message) -> None:
    monkeypatch.chdir(tmp_path)
    before = case.image.read_bytes()
    assert case.run('plain', *(word.format(image=case.image) for word in more)) == 2
    assert re.search(message, last_line(capsys))
    assert case.image.read_bytes() == before
    assert not list(tmp_path.iterdir())


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    return error


def test_images_and_heads_that_do_not_fit(case: Case, tiny_config: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / 'text.png').write_text('no image')
    arguments = [*case.model('plain'), tmp_path / 'text.png']
    assert run(command, [str(x) for x in arguments]) == 2
    assert 'text.png: cannot be read as an image' in last_line(capsys)

    torch.save({'state_dict': MODELS.build(load_config(tiny_config).model).state_dict()}, tmp_path / 'model.pth')
    arguments = [tiny_config, tmp_path / 'model.pth', case.image]
    assert run(command, [str(x) for x in arguments]) == 2
    assert 'has no GridMaskHead' in last_line(capsys)


def test_models_with_other_levels_are_not_compared(case: Case, tmp_path: Path, capsys, monkeypatch) -> None:
    see = tool._see
    monkeypatch.setattr(tool, '_see', lambda *args: _without_levels(see(*args)) if len(args) == 4 else see(*args))
    assert case.run('plain', '--plain', *case.model('plain'), '--out', tmp_path / 'out.png') == 2
    assert re.search('has 1 levels and .* 0: their cells cannot be compared', last_line(capsys))


def _without_levels(seen: tool.Seen) -> tool.Seen:
    seen.masks.masks = []
    return seen


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/show_representations.py', 'missing.py', 'missing.pth', tmp_path / 'missing.png')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == 'error: config missing.py: no such file'
