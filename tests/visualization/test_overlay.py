import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch

from mmagg.visualization.overlay import draw_instances, instance_colour


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A grey image (40, 60, 3) and a large and a small mask, (2, 40, 60)."""
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 20:30, 20:30] = True
    masks[1, 16:38, 2:50] = True
    return np.full((40, 60, 3), 128, np.uint8), masks


def test_masks_are_translucent_and_small_ones_on_top(scene) -> None:
    image, masks = scene
    drawn = draw_instances(image, masks, np.array([0, 0]))
    assert (image == 128).all()
    under = 0.55 * 128 + 0.45 * np.array(instance_colour(1))
    over = 0.55 * under + 0.45 * np.array(instance_colour(0))
    np.testing.assert_allclose(drawn[34, 10], under, atol=1)
    np.testing.assert_allclose(drawn[25, 25], over, atol=1)
    assert (drawn[39, 59] == 128).all()


def test_arrays_tensors_and_rle_give_the_same_picture(scene) -> None:
    image, masks = scene
    rle = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    rest = (np.array([0, 1]), np.array([0.9, 0.5]), np.zeros((2, 4)), ('cat', 'dog'))
    pictures = [draw_instances(image, kind, *rest) for kind in (masks, torch.from_numpy(masks), rle)]
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] == pictures[2]).all()


def test_labels_and_boxes_are_drawn_inside_the_image() -> None:
    image = np.full((30, 200, 3), 128, np.uint8)
    boxes = np.array([[190.0, 20, 199, 29]])
    with_name = draw_instances(image, None, [0], None, boxes, ('a long name',))
    with_index = draw_instances(image, None, [7], None, boxes, ('a long name',))
    assert with_name.shape == image.shape
    assert (with_name != with_index).any()
    assert (with_index[29, 195] == instance_colour(0)).all()


@pytest.mark.parametrize('shape', [(1, 1, 3), (5, 300, 3)])
def test_images_smaller_than_a_label(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    assert draw_instances(image, np.ones((1, *shape[:2]), bool), [0], [1.0], None, ('name',)).shape == shape


def test_nothing_to_draw(scene) -> None:
    image, _ = scene
    empty = torch.zeros(0)
    for masks in (torch.zeros(0, 40, 60), []):
        assert (draw_instances(image, masks, empty, empty, torch.zeros(0, 4)) == image).all()


def test_empty_masks_are_harmless(scene) -> None:
    image, masks = scene
    assert (draw_instances(image, np.zeros_like(masks), [0, 0]) != image).any()  # the labels


def test_first_colours_differ() -> None:
    colours = np.array([instance_colour(i) for i in range(24)], float)
    distance = np.linalg.norm(colours[:, None] - colours, axis=-1) + 1e3 * np.eye(24)
    assert distance.min() > 20
