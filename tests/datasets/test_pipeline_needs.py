"""What pipelines ask of the files."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config
from mmagg.datasets.pipeline_needs import pipeline_needs

LOAD = dict(type='LoadAnnotations', with_bbox=True)


@pytest.mark.parametrize(
    'step, resized_to',
    [
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), 1333),
        (dict(type='Resize', scale=(1333, 800)), None),
        (dict(type='RandomResize', scale=[(1333, 640), (900, 600)], keep_ratio=True), 900),
        (dict(type='RandomResize', scale=(1024, 1024), ratio_range=(0.5, 2.0), keep_ratio=True), 512),
        (dict(type='RandomChoiceResize', scales=[(1333, 640), 700], resize_cfg=dict(keep_ratio=True)), 700),
        (dict(type='RandomChoice', transforms=[[dict(type='Resize', scale=(640, 9), keep_ratio=True)]]), 640),
    ],
)
def test_least_side_that_images_are_resized_to(step: dict, resized_to: int | None) -> None:
    assert pipeline_needs(dict(type='CocoDataset', pipeline=[step]))['resized_to'] == resized_to


def test_whether_masks_are_needed() -> None:
    def masks(*steps: dict) -> bool:
        return pipeline_needs(dict(type='RepeatDataset', dataset=dict(type='CocoDataset', pipeline=steps)))['masks']

    assert masks()
    assert masks(dict(LOAD, with_mask=True))
    assert masks(dict(type='LoadPolygonAnnotations'))
    assert not masks(LOAD)


def test_needs_of_configs(root: Path) -> None:
    def needs(name: str) -> dict:
        cfg: Config = load_config(root / 'configs' / name)
        return pipeline_needs(cfg.train_dataloader.dataset)

    assert needs('demo/solo_tiny_shapes.py') == {'masks': True, 'resized_to': 128}
    assert needs('a2fpn/fcos_r50_a2fpn_1x_coco.py') == {'masks': False, 'resized_to': 1333}
    assert needs('blendmask/blendmask_r50_fpn_1x_coco.py')['masks']
