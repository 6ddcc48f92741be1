"""YOLO's labels."""

import numpy as np
from annotated import annotated, awkward_masks

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.yolo import yolo_lines
from mmagg.rle.polygons import polygons_to_rle


def test_lines_hold_the_masks_of_large_images_too():
    for image in (annotated(awkward_masks()), annotated(np.eye(3, 20_001, dtype=bool)[None])):
        lines = yolo_lines(image)
        for line, mask, label in zip(lines, image.masks, image.labels, strict=True):
            first, *shares = line.split()
            assert int(first) == label
            points = np.array(shares, float).reshape(-1, 2)
            assert polygons_to_rle([[points * image.size[::-1]]], image.size) == mask


def test_boxes_are_outlines_among_outlines_and_masks_without_a_pixel_are_left_out():
    box = np.array([[10.0, 0, 20, 5]])
    alone = AnnotatedImage('a.png', (10, 20), ['nut'], np.array([0]), [None], box)
    assert yolo_lines(alone) == ['0 0.750000 0.250000 0.500000 0.500000']
    image = annotated(np.stack([np.zeros((10, 20), bool), np.ones((10, 20), bool)]))
    labels, masks = np.array([0, 1, 0]), [*image.masks, None]
    mixed = AnnotatedImage('a.png', (10, 20), ['nut', 'cup'], labels, masks, box.repeat(3, 0))
    assert [len(line.split()) for line in yolo_lines(mixed)] == [9, 9]
    assert yolo_lines(AnnotatedImage('a.png', (10, 20), [])) == []
