"""Objects that a network is too coarse to see."""

from pathlib import Path

import pytest

from mmagg.apis.config import load_config, shipped_config
from mmagg.datasets.findings import Findings
from mmagg.datasets.sight import Sight, check_sight

IMAGES = [{'id': 1, 'height': 1000, 'width': 1000}]


def objects(*sides: float) -> list[dict]:
    return [{'image_id': 1, 'bbox': [0, 0, side, side]} for side in sides]


def warnings(sight: Sight, *sides: float) -> list[str]:
    findings = Findings()
    check_sight(findings, IMAGES, objects(*sides), sight)
    return [finding.message for finding in findings.summary()]


def test_sights_of_configs() -> None:
    solo = Sight.of(load_config(shipped_config('solo/solo_r50_fpn_3x_coco.py')))
    assert solo == (8, (1333, 800), 800, ('model.mask_head.grids', (40, 36, 24, 16, 12)))
    boxed = Sight.of(load_config(shipped_config('blendmask/blendmask_r50_fpn_1x_coco.py')))
    assert boxed == (8, (1333, 800), 800, None)
    two_stages = Sight.of(load_config(shipped_config('a2fpn/mask-rcnn_r50_fpn_1x_coco.py')))
    assert two_stages[0] == 4


def test_the_short_side_that_is_advised_makes_half_of_them_large_enough() -> None:
    sight = Sight(8, (320, 320), 320, None)
    (line,) = warnings(sight, 10, 10, 10, 200)  # 3.2 pixels of 320
    assert line.startswith('objects smaller than 8 pixels, the finest stride, as the network sees them: 3 of 4; ')
    assert '--short-side 800 ' in line
    assert warnings(sight._replace(scale=(800, 800), tested=800), 10, 10, 10, 200) == []
    assert warnings(sight, 200, 200, 10) == []


def test_small_cells_are_advised_where_several_objects_share_one() -> None:
    sight = Sight(8, (1333, 1333), 1333, ('model.mask_head.grids', (10, 5)))
    (line,) = warnings(sight, 50, 50, 50)  # of cells of 100 pixels
    assert '10 a side: 3 of 3' in line
    assert '--cfg-options "model.mask_head.grids=[20,10]"' in line


def test_the_check_of_the_data_says_it(shapes_folder: Path, capsys) -> None:
    from mmagg.apis.data import check_data, use_coco_folder

    cfg = load_config(shipped_config('demo/blendmask_tiny_shapes.py'))
    use_coco_folder(cfg, shapes_folder)
    check_data(cfg, ['train'], purpose='train')
    assert 'finest stride' not in capsys.readouterr().err
    for loader in (cfg.train_dataloader, cfg.test_dataloader, cfg.val_dataloader):
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (16, 16)
    check_data(cfg, ['train'], purpose='train')
    assert 'finest stride' in capsys.readouterr().err


@pytest.mark.parametrize('model', [{}, dict(backbone=dict(strides=(1, 2)))])
def test_an_unknown_network_has_no_sight(model) -> None:
    cfg = load_config(shipped_config('demo/blendmask_tiny_shapes.py'))
    cfg.model = model
    assert Sight.of(cfg) is None
