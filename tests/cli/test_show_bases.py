"""tools/analysis/show_bases.py as a user calls it."""

import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmagg.apis.config import load_config
from mmagg.cli import show_bases as command
from mmagg.cli.main import run
from mmagg.demo.shapes import CLASSES, draw_scene
from mmagg.inside import show_bases as tool
from mmagg.visualization.canvas import MARGIN
from mmagg.visualization.panel_sheet import BELOW, COLUMN_GAP, COLUMN_WIDTH, HEADING, TITLE

PITCH = COLUMN_WIDTH + COLUMN_GAP
HEIGHT, WIDTH = 80, 128  # of the image
CONFIG = """
_base_ = '{root}/configs/_base_/tiny_shapes.py'
tower = dict(num_convs=1, norm_cfg=dict(type='GN', num_groups=4))
model = dict(
    type='SingleStageInstanceSegmentor',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3, pad_size_divisor=32),
    backbone=dict(
        type='ResNet', depth=18, stem_channels=8, base_channels=8, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(1, 2), frozen_stages=-1, style='pytorch'),
    neck=dict(type='FPN', in_channels=[16, 32], out_channels=16, num_outs=2),
    mask_head=dict(
        type='BoxedMaskHead',
        boxes=dict(
            type='LocationHead', num_classes=5, in_channels=16, channels=16, strides=(8, 16),
            class_tower=tower, box_tower=tower,
            assigner=dict(type='LocationAssigner', ranges=((-1, 64), (64, 1e8))),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True), loss_box=dict(type='DistanceIoULoss'),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True)),
        coefficients={coefficients},
        masks=dict(
            type='BlendedMasks', mask_size=28, {masks},
            basis=dict(
                type='ProtoNet', in_channels=16, levels=(0, 1), channels=16, num_convs=1, num_bases={bases}))),
    test_cfg=dict(score_thr=0.05, nms_pre=100, max_per_img=20))
"""
KINDS = {
    'blend': ('attention_size=7', 4),
    'weighted sum': ('attention_size=1', 8),
    'gate': ("attention_size=7, merger='gate'", 1),
    'assemble': ("attention_size=4, merger='assemble'", 16),
    'unclipped': ('attention_size=7', 4),
}


@MODELS.register_module(force=True)
class FullMasks(nn.Module):
    """Masks without bases."""

    num_coefficients, mask_size = 1, 4

    def features(self, feats) -> None:
        pass


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
        return run(command, [str(x) for x in (self.image, *self.model(name), *more)])


@pytest.fixture(scope='module')
def case(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Models of all kinds, and an image of shapes."""
    case = Case(tmp_path_factory.mktemp('models'))
    cv2.imwrite(str(case.image), draw_scene(np.random.default_rng(0), WIDTH).image[:HEIGHT])
    for name, (masks, bases) in KINDS.items():
        config, checkpoint = case.model(name)
        coefficients = None if name == 'assemble' else dict(in_channels=16)
        text = CONFIG.format(root=root, masks=masks, bases=bases, coefficients=coefficients)
        if name == 'unclipped':
            text += 'model["test_cfg"]["clip_boxes"] = False\n'
        config.write_text(text)
        cfg = load_config(config)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        head = model.mask_head
        with torch.no_grad():
            head.boxes.conv_box.bias.fill_(2.0)
            head.boxes.conv_cls.weight.normal_(std=1.0)
            head.masks.basis.conv_bases.weight.normal_(std=10.0)
            if head.coefficients is not None:
                head.coefficients.conv.weight.normal_(std=0.5)
        torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': CLASSES}}}, checkpoint)
    return case


def parts(path: Path, rows: int, columns: int) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """The two pictures at the top, and the panels of each row below."""
    sheet = cv2.imread(str(path))
    assert sheet.shape[1] == 2 * MARGIN + columns * PITCH - COLUMN_GAP
    above = MARGIN + HEADING + TITLE
    half = (columns * PITCH - 2 * COLUMN_GAP) // 2
    height = round(half * HEIGHT / WIDTH)
    upper = [sheet[above : above + height, MARGIN + i * (half + COLUMN_GAP) :][:, :half] for i in range(2)]
    lower = sheet[above + height + BELOW + above :]
    height, rest = divmod(len(lower), rows)
    assert rest == 0
    assert COLUMN_WIDTH * HEIGHT / WIDTH <= height - BELOW + 1 <= COLUMN_WIDTH + 1
    return upper, [
        [lower[row * height :, MARGIN + i * PITCH :][: height - BELOW, :COLUMN_WIDTH] for i in range(columns)]
        for row in range(rows)
    ]


@pytest.mark.parametrize('name', KINDS)
def test_a_row_per_detection(case: Case, tmp_path: Path, name: str) -> None:
    out = tmp_path / 'deep' / 'out.png'
    assert case.run(name, '--out', out, '--top', 2) == 0
    upper, rows = parts(out, 2, 3 if name == 'assemble' else 4)
    for picture in (*upper, *(panel for row in rows for panel in row)):
        assert (picture < 255).any(axis=-1).mean() > 0.1
        assert picture[(picture < 255).any(axis=-1)].std() > 5


def test_what_is_shown_is_what_the_model_makes(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the same network without any of the tools' preparations."""
    shown = {'bases_panel': [], 'attention_panel': [], 'pooled_panel': [], 'prob_panel': []}
    for name, calls in shown.items():
        original = getattr(tool, name)
        monkeypatch.setattr(
            tool, name, lambda *args, calls=calls, original=original: calls.append(args[1]) or original(*args)
        )
    assert case.run('blend', '--out', tmp_path / 'out.png', '--top', 3, '--score-thr', 0) == 0

    config, checkpoint = case.model('blend')
    model = MODELS.build(load_config(config).model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    image = torch.from_numpy(cv2.imread(str(case.image)))
    image = torch.nn.functional.pad((image.permute(2, 0, 1).float() - 128) / 64, (0, 0, 0, 16))[None]
    head = model.mask_head
    with torch.no_grad():
        feats = model.extract_feat(image)
        maps, features, bases = head(feats)
        found = head.detect(maps, 0, (HEIGHT, WIDTH))
        rois = torch.cat([torch.zeros(3, 1), found.boxes[:3]], dim=1)
        coefficients = head.coefficients.at(features, found.places[:3])
        pooled = head.masks.pool(bases.contiguous(), rois)
        attention = coefficients.unflatten(1, (4, 7, 7)).softmax(1)
        probs = head.masks.merge(pooled, coefficients).sigmoid()
    for values, name in ((bases, 'bases_panel'), (attention, 'attention_panel'), (probs, 'prob_panel')):
        torch.testing.assert_close(torch.stack(shown[name]), values, rtol=1e-3, atol=1e-3, msg=name)
    torch.testing.assert_close(torch.stack(shown['pooled_panel']), pooled, rtol=1e-3, atol=1e-3)


def test_without_a_checkpoint_weights_are_random(case: Case, tmp_path: Path, capsys) -> None:
    arguments = [case.image, case.model('blend')[0], '--out', tmp_path / 'out.png', '--top', 1]
    assert run(command, [str(x) for x in arguments]) == 0
    captured = capsys.readouterr()
    assert 'no CHECKPOINT: weights are random' in captured.err
    assert captured.out.splitlines()[-1] == f'written to {tmp_path / "out.png"}'
    upper, [row] = parts(tmp_path / 'out.png', 1, 4)
    assert all(picture.std() > 5 for picture in (*upper, *row))


def test_name_of_the_result(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert case.run('gate', '--top', 1) == 0
    assert [path.name for path in tmp_path.iterdir()] == ['image_bases.png']


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    return error


@pytest.mark.parametrize(
    'more, message',
    [
        (['--score-thr', '1'], r'no detection has a score of 1 or more, the best has 0\.\d\d\d; lower --score-thr'),
        (
            ['--cfg-options', 'model.test_cfg.score_thr=0.99999'],
            r'finds nothing in it; lower model.test_cfg.score_thr \(0.99999\) with --cfg-options',
        ),
        (['--out', '{image}'], 'is an input'),
        (['--device', 'nowhere'], '--device nowhere'),
    ],
)
@pytest.mark.parametrize('trained', [True, False])
def test_what_cannot_be_shown_ends_with_one_line(
    case: Case, tmp_path, monkeypatch, capsys, more, message, trained
) -> None:
    monkeypatch.chdir(tmp_path)
    before = case.image.read_bytes()
    arguments = [case.image, *case.model('blend')[: 1 + trained], *(word.format(image=case.image) for word in more)]
    assert run(command, [str(x) for x in arguments]) == 2
    assert re.search(message, last_line(capsys))
    assert case.image.read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_other_heads_and_masks_are_refused(case: Case, tiny_config: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / 'other.py'
    other.write_text(f"_base_ = '{case.model('blend')[0]}'\n")
    with other.open('a') as file:
        file.write("model = dict(mask_head=dict(masks=dict(_delete_=True, type='FullMasks')))")
    for config, detector in ((tiny_config, 'SOLO'), (other, 'SingleStageInstanceSegmentor')):
        assert run(command, [str(case.image), str(config)]) == 2
        assert f'{config}: its {detector} has no BoxedMaskHead with BlendedMasks' in last_line(capsys)


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/show_bases.py', tmp_path / 'missing.png', 'missing.py')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == 'error: config missing.py: no such file'
