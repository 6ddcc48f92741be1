"""tools/analysis/benchmark_boxed_masks.py on small maps, and what it measures."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config
from mmagg.cli import benchmark_boxed_masks as command
from mmagg.cli.main import run
from mmagg.costs import boxed_masks as measure
from mmagg.models.heads import BoxedMaskHead

CONFIG = """
_base_ = '{root}/configs/blendmask/blendmask_r50_fpn_1x_coco.py'
tower = dict(num_convs=1, norm_cfg=dict(num_groups=8))
model = dict(
    backbone=dict(depth=18, base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
    mask_head=dict(
        boxes=dict(in_channels=32, channels=32, class_tower=tower, box_tower=tower),
        coefficients=dict(in_channels=32),
        masks=dict(basis=dict(in_channels=32, channels=16)),
        semantic=dict(in_channels=32, channels=16)))
"""
SHAPE = (256, 320)
LOCATIONS = 32 * 40 + 16 * 20 + 8 * 10 + 4 * 5 + 2 * 3
SMALL = ['--shape', '256', '320', '--runs', '1']


@pytest.fixture
def config(root: Path, tmp_path: Path) -> str:
    """A tiny BlendMask; pretrained weights are named but must not be fetched."""
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(root=root))
    return str(path)


@pytest.fixture
def model(config: str) -> torch.nn.Module:
    return MODELS.build(load_config(config, {'model.backbone.init_cfg': None}).model).eval()


def test_all_is_measured_and_both_forms_agree(config, tmp_path, capsys) -> None:
    file = tmp_path / 'new' / 'result.json'
    assert run(command, [config, *SMALL, '--json', str(file)]) == 0
    out = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report['hardware']['cpu']
    assert [(row['places'], row['pass']) for row in report['coefficients']] == [
        (100, 'forward + backward'),
        (200, 'forward + backward'),
        (100, 'forward'),
        (200, 'forward'),
    ]
    everywhere = LOCATIONS * 784 * 4 / 2**20
    for row in report['coefficients']:
        assert row['difference'] < 1e-4
        assert row['dense']['mib'] > row['sparse']['mib']
        assert min(row['dense']['ms'], row['sparse']['ms']) > 0
    dense, sparse = (report['coefficients'][2][form]['mib'] for form in ('dense', 'sparse'))
    assert dense > everywhere > sparse > 100 * 784 * 4 / 2**20
    numbers = re.search(r'100 places, forward +([\d. ]+) \d\.\de', out)[1].split()
    assert float(numbers[-1]) == pytest.approx(dense / sparse, abs=0.051)

    masks = report['masks']
    assert list(masks) == ['1', '10', '50', '100']
    for row in masks.values():
        parts = row['stages_ms']
        assert all(parts[stage] > 0 for stage in measure.STAGES)
        assert sum(parts.values()) == pytest.approx(row['ms'])
        assert parts['rest'] < 0.2 * row['ms'] + 1
    assert masks['100']['mib'] > 100 * SHAPE[0] * SHAPE[1] / 2**20 > masks['10']['mib']
    assert f'100 / 10 detections: {masks["100"]["ms"] / masks["10"]["ms"]:.2f}' in out


def test_a_head_without_coefficients_has_masks_only(config, capsys) -> None:
    options = [f'model.mask_head.masks.{x}' for x in ('merger=assemble', 'attention_size=2', 'basis.num_bases=4')]
    assert run(command, [config, *SMALL, '--cfg-options', *options]) == 0
    out = capsys.readouterr().out
    assert 'places' not in out
    assert '100 detections' in out


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'], 'the mask head is a NoneType, not a BoxedMaskHead'),
        (['{config}', '--cfg-options', 'model.mask_head.masks=None'], 'its BoxedMaskHead finds boxes without masks'),
        (['{config}', '--json', '.'], '--json .: is a folder'),
        (['{config}', '--device', 'nowhere'], '--device nowhere: '),
        (['{config}', '--cfg-options', 'model.bakbone.depth=18'], 'did you mean backbone'),
    ],
)
def test_bad_input_is_named(argv, message, config, capsys) -> None:
    assert run(command, [word.format(config=config) for word in argv]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_results_that_differ_are_no_measurement(model, monkeypatch) -> None:
    head = model.mask_head
    feats = measure.random_pyramid(model, SHAPE)
    right = head.coefficients.at
    monkeypatch.setattr(head.coefficients, 'at', lambda x, places: right(x, places) + 1)
    with pytest.raises(ArithmeticError, match='coefficients at 20 places are not those of the convolution'):
        measure.compare_coefficients(head, feats, SHAPE, 20, backward=False, runs=1)


def test_maps_are_as_the_neck_s(model) -> None:
    feats = measure.random_pyramid(model, SHAPE)
    assert [x.shape[-2:] for x in feats] == [(32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]
    assert all(abs(x.std() - 1) < 0.2 for x in feats)
    again = measure.random_pyramid(model.to(memory_format=torch.channels_last), SHAPE)
    assert all(torch.equal(x, y) for x, y in zip(feats, again, strict=True))
    assert again[0].is_contiguous(memory_format=torch.channels_last)
    assert not again[0].is_contiguous()


@pytest.mark.parametrize('number', [1, 10, 100])
def test_detections_are_of_all_sizes_at_locations_that_learn_such_boxes(model, number) -> None:
    head: BoxedMaskHead = model.mask_head
    shape = (800, 1216)
    sizes = [(-(-shape[0] // stride), -(-shape[1] // stride)) for stride in head.boxes.strides]
    found = measure.random_detections(head, number, shape, sizes)
    assert len(found.boxes) == len(found.scores) == len(found.labels) == len(found.places) == number
    x1, y1, x2, y2 = found.boxes.t()
    assert min(x1.min(), y1.min()) >= 0
    assert x2.max() <= shape[1]
    assert y2.max() <= shape[0]
    logs = ((x2 - x1) * (y2 - y1)).sqrt().log()
    low, high = torch.tensor([24.0, 480.0]).log()
    assert logs.mean() == pytest.approx((low + high).item() / 2, abs=1e-3)
    assert logs.min() > low
    assert logs.max() < high
    if number > 1:
        assert logs.std() == pytest.approx((high - low).item() / 12**0.5, rel=0.1)
    # Each box alone, so that none hides another; half a stride of distance decides at the borders of the ranges.
    learnt = [
        head.boxes.assign(sizes, [box[None]], [label[None]]).places
        for box, label in zip(found.boxes, found.labels, strict=True)
    ]
    assert sum(place in places for place, places in zip(found.places, learnt, strict=True)) >= 0.8 * number
    assert (found.places < sum(h * w for h, w in sizes)).all()


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/benchmark_boxed_masks.py', tmp_path / 'missing.py')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'no such file' in done.stderr
