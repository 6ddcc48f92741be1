"""Masks of an annotation file, cropped and resized."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmagg.experiments import object_masks
from mmagg.experiments.object_masks import read_masks

SIDE = 16


@pytest.fixture
def run_lengths(tmp_path: Path) -> Path:
    """Columns as run-length codes, in boxes of whole numbers."""
    counts = [[SIDE * x, SIDE * 2, SIDE * (SIDE - 2 - x)] for x in (2, 3, 4)]
    annotations = [
        dict(id=i, category_id=1, bbox=[0, 0, 8, 8], area=32, segmentation=dict(size=[SIDE, SIDE], counts=runs))
        for i, runs in enumerate(counts)
    ]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps({'annotations': annotations, 'categories': [{'id': 1, 'name': 'a'}]}))
    return path


def test_run_length_codes_in_boxes_of_whole_numbers(run_lengths: Path) -> None:
    pixels = read_masks(run_lengths, size=8, workers=1).pixels().numpy()
    for x, mask in zip((2, 3, 4), pixels, strict=True):
        expected = np.zeros((8, 8), np.uint8)
        expected[:, x : x + 2] = 1
        assert (mask == expected).all()


def test_masks_of_large_images_are_drawn_one_by_one(run_lengths: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, numbers = read_masks(run_lengths, size=8, workers=1), []
    draw = object_masks.box_mask_targets
    monkeypatch.setattr(object_masks, 'LARGE', SIDE**2)

    def counted(masks: list, *args: object, **kwargs: object) -> object:
        numbers.append(len(masks))
        return draw(masks, *args, **kwargs)

    monkeypatch.setattr(object_masks, 'box_mask_targets', counted)
    assert (read_masks(run_lengths, size=8, workers=1).bits == together.bits).all()
    assert numbers == [1, 1, 1]
