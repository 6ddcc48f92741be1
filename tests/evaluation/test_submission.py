"""Result files for COCO's evaluation server."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmagg.evaluation.submission import pack_results
from mmagg.io.errors import InputError

NAME = 'detections_test-dev2017_solo_results'
RLE = coco_mask.encode(np.asfortranarray(np.eye(8, dtype=np.uint8)))
RECORD = {
    'image_id': 1,
    'category_id': 18,
    'bbox': [0.0, 0.0, 8.0, 8.0],
    'score': 0.5,
    'segmentation': {'size': [8, 8], 'counts': RLE['counts'].decode()},
}


def packed(folder: Path, record: dict, iou_type: str) -> list[dict]:
    results, out = folder / 'results.json', folder / f'{NAME}.zip'
    results.write_text(json.dumps([record]))
    assert pack_results(results, out, iou_type=iou_type) == 1
    with ZipFile(out) as archive:
        assert archive.namelist() == [f'{NAME}.json']
        return json.loads(archive.read(f'{NAME}.json'))


@pytest.mark.parametrize('iou_type, left_out', [('segm', 'bbox'), ('bbox', 'segmentation')])
def test_one_part_of_each_record_is_packed(tmp_path: Path, iou_type: str, left_out: str) -> None:
    expected = {key: value for key, value in RECORD.items() if key != left_out}
    assert packed(tmp_path, RECORD, iou_type) == packed(tmp_path, expected, iou_type) == [expected]


@pytest.mark.parametrize(
    'iou_type, change, message',
    [
        ('segm', dict(image_id='a'), "its image_id is 'a', not a whole number"),
        ('bbox', dict(category_id=1.5), 'its category_id is 1.5'),
        ('bbox', dict(score=float('nan')), 'its score is nan, not a finite number'),
        ('segm', dict(score='high'), "its score is 'high'"),
        ('bbox', dict(bbox=[1, 2]), 'boxes that are not four numbers'),
        ('segm', dict(segmentation=None), 'its mask is None, not a compressed run-length code'),
        ('segm', dict(segmentation=[[1, 1, 5, 1, 5, 5]]), 'not a compressed run-length code'),
        ('segm', dict(segmentation={'size': [8, 8], 'counts': [10, 54]}), 'not a compressed run-length code'),
        ('segm', dict(segmentation={'size': [9, 8], 'counts': RLE['counts'].decode()}), '64 pixels, not 72'),
    ],
)
def test_what_the_server_cannot_read_is_refused(tmp_path: Path, iou_type: str, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=f'results.json: detection 0: .*{message}'):
        packed(tmp_path, RECORD | change, iou_type)
    assert not (tmp_path / f'{NAME}.zip').exists()
