"""labelme's JSON."""

import base64
import json

import cv2
import numpy as np
from annotated import annotated, awkward_masks

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.labelme import labelme_json
from mmagg.rle.codes import decode_mask
from mmagg.rle.polygons import polygons_to_rle


def test_shapes_are_polygons_by_group_or_masks_where_there_are_holes():
    image = annotated(awkward_masks()[:4])
    content = json.loads(json.dumps(labelme_json(image)))
    shapes = content['shapes']
    assert [shape['shape_type'] for shape in shapes[:2]] == ['polygon', 'mask']
    parts = [shape for shape in shapes if shape['group_id'] == 3]
    assert len(parts) == len(shapes) - 3
    assert polygons_to_rle([[np.array(shape['points'])] for shape in parts], image.size) == image.masks[2]
    (x1, y1), (x2, y2) = np.array(shapes[1]['points']).astype(int)
    png = np.frombuffer(base64.b64decode(shapes[1]['mask']), np.uint8)
    pixels = np.zeros(image.size, bool)
    pixels[y1 : y2 + 1, x1 : x2 + 1] = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert (pixels == decode_mask(image.masks[1])).all()
    assert {shape['label'] for shape in shapes} == {'nut', 'two words'}
    assert (content['imagePath'], content['imageHeight'], content['imageWidth']) == ('a.png', 37, 53)


def test_boxes_are_rectangles_and_scores_are_said():
    image = AnnotatedImage('a.png', (9, 9), ['cup'], np.array([0]), [None], np.array([[1.0, 2, 5, 6]]), np.array([0.9]))
    (shape,) = labelme_json(image)['shapes']
    assert (shape['shape_type'], shape['points']) == ('rectangle', [[1, 2], [5, 6]])
    assert shape['description'] == 'score 0.900'
