"""Prediction by tiles, with a stand-in for the model that knows the objects."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmagg.apis.tiles import predict_tiles, tile_grid
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask, masks_to_rle


def test_tiles_cover_an_image_and_the_last_ones_are_moved_inside() -> None:
    assert tile_grid(100, 260, tile=100, overlap=0.2).tolist() == [
        [0, 0, 100, 100],
        [80, 0, 180, 100],
        [160, 0, 260, 100],
    ]
    assert tile_grid(100, 261, tile=100, overlap=0.2)[:, 0].tolist() == [0, 80, 160, 161]
    assert tile_grid(30, 20, tile=100, overlap=0.2).tolist() == [[0, 0, 20, 30]]
    assert tile_grid(30, 150, tile=100, overlap=0).tolist() == [[0, 0, 100, 30], [50, 0, 150, 30]]
    for side in range(16, 90):
        covered = np.zeros(side, bool)
        for x1, _, x2, _ in tile_grid(1, side, tile=16, overlap=0.3):
            covered[x1:x2] = True
            assert x2 - x1 == 16
        assert covered.all()


def scene() -> np.ndarray:
    """(150, 230, 3): rectangles, each of a value of its own."""
    image = np.zeros((150, 230, 3), np.uint8)
    for value, (x1, y1, x2, y2) in enumerate(
        [(5, 5, 25, 25), (40, 50, 70, 70), (90, 10, 220, 22), (100, 30, 112, 140), (190, 100, 230, 150)], 1
    ):
        image[y1:y2, x1:x2] = value
    return image


def finds_values(as_rle: bool = True, most: int = 99):
    """A model that finds each value as an object; its class is the value modulo 2."""

    def predict(images: list[np.ndarray]) -> list[InstanceData]:
        assert len(images) <= most
        found = []
        for image in images:
            assert image.dtype == np.uint8
            assert image.flags.c_contiguous
            values = [value for value in np.unique(image[..., 0]).tolist() if value]
            masks = torch.tensor(
                np.array([image[..., 0] == value for value in values], bool).reshape(-1, *image.shape[:2])
            )
            one = InstanceData()
            one.scores = torch.tensor([0.9 - value / 10 for value in values])
            one.labels = torch.tensor([value % 2 for value in values], dtype=torch.long)
            one.bboxes = torch.zeros(len(values), 4)
            one.masks = masks_to_rle(masks) if as_rle else masks
            found.append(one)
        return found

    return predict


@pytest.mark.parametrize('as_rle', [True, False])
@pytest.mark.parametrize('tile, overlap, batch', [(64, 0.25, 4), (40, 0.4, 3), (512, 0.2, 1), (150, 0, 2)])
def test_objects_that_borders_cut_are_whole(tile: int, overlap: float, batch: int, as_rle: bool) -> None:
    image, done = scene(), []
    found = predict_tiles(
        finds_values(as_rle, most=batch),
        image,
        tile=tile,
        overlap=overlap,
        batch_size=batch,
        progress=lambda *numbers: done.append(numbers),
    )
    if overlap:
        for value, rle in enumerate(found.masks, 1):
            assert np.array_equal(decode_mask(rle), image[..., 0] == value)
        assert found.scores.tolist() == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])
        assert found.labels.tolist() == [1, 0, 1, 0, 1]
    assert found.ori_shape == (150, 230)
    total = len(tile_grid(150, 230, tile=tile, overlap=overlap))
    assert done[-1] == (total, total)
    assert found.bboxes.dtype == found.scores.dtype == torch.float32


def test_without_tiles_everything_stays() -> None:
    image = scene()
    (want,) = finds_values()([image])
    found = predict_tiles(finds_values(), image, tile=300)
    assert found.masks == want.masks
    assert torch.equal(found.scores, want.scores)
    assert torch.equal(found.bboxes, want.bboxes)


def test_the_squeezed_image_finds_what_no_tile_shows() -> None:
    def sees_all_of_it(images: list[np.ndarray]) -> list[InstanceData]:
        return [
            one if (image == 0).any() and image[0, 0, 0] == image[-1, -1, 0] == 0 else one[:0]
            for image, one in zip(images, finds_values()(images), strict=True)
        ]

    image = np.zeros((128, 256, 3), np.uint8)
    image[20:100, 20:240] = 1
    found = predict_tiles(sees_all_of_it, image, tile=64, full_image=True)
    assert len(found.masks) == 1
    assert np.array_equal(decode_mask(found.masks[0]), image[..., 0] == 1)


def test_nothing_is_found_and_no_more_than_asked_for() -> None:
    found = predict_tiles(finds_values(), np.zeros((90, 90, 3), np.uint8), tile=64)
    assert (len(found.scores), found.masks, found.bboxes.shape) == (0, [], (0, 4))
    found = predict_tiles(finds_values(), scene(), tile=64, max_detections=2)
    assert found.scores.tolist() == pytest.approx([0.8, 0.7])


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match='tile 8: at least 16 pixels'):
        predict_tiles(finds_values(), scene(), tile=8)
    with pytest.raises(InputError, match=r'overlap 1.0: a share of a tile, from 0 to 0\.9'):
        predict_tiles(finds_values(), scene(), overlap=1.0)
    huge = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (70000, 70000, 3), (0, 0, 1))
    with pytest.raises(InputError, match='70000 × 70000 pixels: masks have up to'):
        predict_tiles(finds_values(), huge)

    def boxes_alone(images: list[np.ndarray]) -> list[InstanceData]:
        return [InstanceData(bboxes=torch.zeros(1, 4), scores=torch.ones(1), labels=torch.zeros(1)) for _ in images]

    with pytest.raises(InputError, match='the model finds no masks'):
        predict_tiles(boxes_alone, scene())
