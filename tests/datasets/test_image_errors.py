"""A pipeline that fails names the image."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.io.errors import InputError
from mmagg.io.files import write_json

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 64), keep_ratio=True)]


@pytest.fixture
def dataset(tmp_path: Path) -> dict:
    """The config of a data set of one image, of which the test makes the file."""
    images = [{'id': 1, 'file_name': 'a.png', 'height': 2, 'width': 2000}]
    write_json({'images': images, 'annotations': [], 'categories': [{'id': 1, 'name': 'a'}]}, tmp_path / 'a.json')
    init_default_scope('mmdet')
    return dict(
        type='CocoDataset', ann_file=str(tmp_path / 'a.json'), data_prefix=dict(img=str(tmp_path)), pipeline=PIPELINE
    )


@pytest.mark.parametrize('wrap', [0, 1, 2])
@pytest.mark.parametrize(
    'content, message',
    [
        (None, r'a\.png: cannot be read or transformed \(.*No such file'),
        (b'', r'a\.png: cannot be read or transformed \(OpenCV: '),
        (b'no image', r'a\.png: cannot be read or transformed \('),
        (cv2.imencode('.png', np.zeros((2, 2000, 3), np.uint8))[1].tobytes(), r'a\.png: 2000 × 2 pixels, cannot be tr'),
    ],
)
def test_what_cannot_be_read_or_resized_is_named(dataset, tmp_path: Path, content, message, wrap: int) -> None:
    if content is not None:
        (tmp_path / 'a.png').write_bytes(content)
    wrapped = [
        dataset,
        dict(type='RepeatDataset', times=2, dataset=dataset),
        dict(type='ConcatDataset', datasets=[dataset, dataset]),
    ][wrap]
    built = DATASETS.build(wrapped)
    name_images_in_errors(built)
    with pytest.raises(InputError, match=message) as error:
        built[0]
    assert '\n' not in str(error.value)
