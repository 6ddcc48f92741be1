"""COCO's JSON, as pycocotools reads it."""

import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco_json import coco_json
from mmagg.rle.codes import masks_to_rle


def test_pycocotools_reads_the_same_masks(tmp_path: Path) -> None:
    masks = np.zeros((2, 6, 9), bool)
    masks[0, 1:3, 2:8] = masks[1, 4, 4] = True
    image = AnnotatedImage(
        name='a/b.jpg',
        size=(6, 9),
        classes=('nut', 'nail'),
        labels=np.array([1, 0]),
        masks=masks_to_rle(masks),
        boxes=np.array([[2.0, 1, 8, 3], [4, 4, 5, 5]]),
        scores=np.array([0.5, 0.25], np.float32),
        tracks=np.array([3, 4]),
    )
    drawn = AnnotatedImage('c.jpg', (6, 9), ('nut', 'nail'), np.array([0]), [None], np.array([[0, 0, 2, 3]]))
    (tmp_path / 'a.json').write_text(json.dumps(coco_json([image, drawn], image.classes)))
    read = COCO(str(tmp_path / 'a.json'))
    assert [one['file_name'] for one in read.imgs.values()] == ['a/b.jpg', 'c.jpg']
    first, second, third = read.anns.values()
    assert (read.annToMask(first) == masks[0]).all()
    assert (read.annToMask(second) == masks[1]).all()
    assert (first['area'], first['bbox'], first['score'], first['track_id']) == (12, [2, 1, 6, 2], 0.5, 3)
    assert read.cats[first['category_id']]['name'] == first['category_name'] == 'nail'
    assert (third['image_id'], third['area']) == (2, 6)
    assert not {'score', 'segmentation', 'track_id'} & third.keys()
