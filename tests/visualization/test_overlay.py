import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch

from mmagg.visualization.colours import class_colour
from mmagg.visualization.overlay import draw_instances


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A grey image (80, 120, 3) and a large and a small mask, (2, 80, 120)."""
    masks = np.zeros((2, 80, 120), bool)
    masks[0, 40:60, 40:60] = True
    masks[1, 32:76, 4:100] = True
    return np.full((80, 120, 3), 128, np.uint8), masks


def test_masks_are_translucent_and_small_ones_on_top(scene) -> None:
    image, masks = scene
    drawn = draw_instances(image, masks, np.array([0, 1]))
    assert (image == 128).all()
    under = 0.55 * 128 + 0.45 * np.array(class_colour(1))
    over = 0.55 * under + 0.45 * np.array(class_colour(0))
    np.testing.assert_allclose(drawn[68, 20], under, atol=1)
    np.testing.assert_allclose(drawn[56, 56], over, atol=1)
    assert (drawn[79, 119] == 128).all()


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
    assert (with_index[29, 195] == class_colour(7)).all()


def test_instances_of_a_class_share_its_hue_and_neighbours_differ() -> None:
    image, masks = np.zeros((40, 120, 3), np.uint8), np.zeros((3, 40, 120), bool)
    masks[0, 5:35, 5:40], masks[1, 5:35, 40:80], masks[2, 5:35, 90:115] = True, True, True
    drawn = draw_instances(image, masks, [3, 3, 3], boxes=None, classes=('',) * 4)
    first, neighbour, apart = drawn[34, 20].astype(int), drawn[34, 60].astype(int), drawn[34, 110].astype(int)
    np.testing.assert_allclose(first, class_colour(3), atol=30)  # on the contour, whose edge is smooth
    assert (apart == first).all()
    assert abs(neighbour - first).max() > 40
    assert neighbour.argmax() == first.argmax()


def test_given_colours_are_kept() -> None:
    image, masks = np.zeros((20, 20, 3), np.uint8), np.ones((1, 20, 20), bool)
    drawn = draw_instances(image, masks, [0], colours=np.array([[0, 255, 100]]))
    np.testing.assert_allclose(drawn[19, 10], (0, 255, 100), atol=30)


@pytest.mark.parametrize('shape', [(1, 1, 3), (5, 300, 3), (28, 28, 3)])
def test_images_smaller_than_a_label(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    drawn = draw_instances(image, np.ones((1, *shape[:2]), bool), [0], [1.0], None, ('a long name',))
    assert drawn.shape == shape


def test_nothing_to_draw(scene) -> None:
    image, _ = scene
    empty = torch.zeros(0)
    for masks in (torch.zeros(0, 80, 120), []):
        assert (draw_instances(image, masks, empty, empty, torch.zeros(0, 4)) == image).all()


def test_empty_masks_are_harmless(scene) -> None:
    image, masks = scene
    assert (draw_instances(image, np.zeros_like(masks), [0, 0]) != image).any()  # the labels


def test_a_name_that_no_font_has_is_a_number(scene) -> None:
    image, masks = scene
    with pytest.warns(UserWarning, match='no installed font has \U0010fffa'):  # a private character
        drawn = draw_instances(image, masks[:1], [0], classes=('\U0010fffa',))
    assert (drawn == draw_instances(image, masks[:1], [0])).all()
