"""The images that `filter_cfg` leaves out, counted as mmdet leaves them out."""

import json
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset

from mmagg.datasets.coco_file import CocoFile, read_coco
from mmagg.datasets.coco_filter import check_indices, left_out
from mmagg.datasets.coco_sources import CocoSource
from mmagg.io.errors import InputError

SIZES = [(40, 40), (31, 50), (50, 31), (32, 32), (20, 20), (64, 64)]
# By image: an object, one of a class that is not named, none, a crowd, none, an empty box.
OBJECTS = {1: (1, 0, 10), 2: (2, 0, 10), 4: (1, 1, 10), 6: (1, 0, 0)}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / 'x.json'
    images = [{'id': i, 'file_name': f'{i}.png', 'width': w, 'height': h} for i, (w, h) in enumerate(SIZES, 1)]
    objects = [
        {'id': i, 'image_id': i, 'category_id': c, 'iscrowd': crowd, 'bbox': [0, 0, side, side], 'area': side * side}
        for i, (c, crowd, side) in OBJECTS.items()
    ]
    categories = [{'id': 1, 'name': 'box'}, {'id': 2, 'name': 'bar'}]
    path.write_text(json.dumps({'images': images, 'annotations': objects, 'categories': categories}))
    return path


def dataset(annotations: Path, **options: object) -> CocoDataset:
    return CocoDataset(
        ann_file=str(annotations), data_prefix={'img': ''}, metainfo={'classes': ('box',)}, lazy_init=True, **options
    )


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize(
    'rule', [None, {}, {'min_size': 32}, {'filter_empty_gt': True}, {'filter_empty_gt': True, 'min_size': 32}]
)
def test_as_many_as_mmdet_leaves_out(annotations, rule, test_mode):
    built = dataset(annotations, filter_cfg=rule, test_mode=test_mode, serialize_data=False)
    found = left_out(CocoSource('train_dataloader.dataset', built, named=True), read_coco(annotations))
    built.full_init()
    assert found.images - found.small - found.empty == len(built)


def test_the_line_says_what_to_change(annotations):
    def line(**rule: object) -> str:
        source = CocoSource('train_dataloader.dataset', dataset(annotations, filter_cfg=rule), named=True)
        return str(left_out(source, read_coco(annotations)))

    assert line(filter_empty_gt=True, min_size=32).startswith(f'3 of 6 images of {annotations} are left out by train_')
    everything = line(filter_empty_gt=True, min_size=65)
    assert everything.startswith('all 6 images')
    assert '6 smaller than 65 pixels, 0 without objects of its classes; set ' in everything
    assert everything.endswith('set train_dataloader.dataset.filter_cfg.min_size to 0')


@pytest.mark.parametrize(
    'indices, refused',
    [
        *[(1, False), (-2, False), (9, False), ([0, 2, -3], False), (None, False)],
        *[(0, True), ([], True), ([3], True), ([0, -4], True)],
    ],
)
def test_indices_that_mmdet_cannot_take(annotations, indices, refused):
    built = dataset(annotations, filter_cfg={'min_size': 32}, serialize_data=False, indices=indices)
    source = CocoSource('train_dataloader.dataset', built, named=True)
    found = left_out(source, read_coco(annotations))
    if not refused:
        check_indices(found)
        built.full_init()
        assert len(built)
        return
    with pytest.raises(InputError, match=r'^train_dataloader\.dataset\.indices is .* 3 images'):
        check_indices(found)
    built.serialize_data = True
    with pytest.raises((ValueError, IndexError)):
        built.full_init()


def test_broken_entries_are_left_to_the_check(annotations):
    source = CocoSource('train_dataloader.dataset', dataset(annotations, filter_cfg={'min_size': 32}), named=True)
    found = left_out(source, CocoFile(annotations, [{'id': 1}], [], []))
    assert (found.small, found.empty, found.everything) == (0, 0, False)
