"""Classes as a config names them, compared with a file's and with the heads."""

from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset

from mmagg.datasets.coco_classes import compare_classes, compare_labels
from mmagg.datasets.coco_sources import CocoSource
from mmagg.io.errors import InputError

NAMES = ['box', 'disc', 'bar']


def source(classes: object, key: str = 'train_dataloader.dataset', **options: object) -> CocoSource:
    metainfo = None if classes is None else {'classes': classes}
    dataset = CocoDataset(ann_file='x.json', metainfo=metainfo, lazy_init=True, **options)
    return CocoSource(key, dataset, named=classes is not None)


@pytest.mark.parametrize('classes', [('box', 'disc', 'bar'), ['box', 'bar'], ('disc',)])
def test_all_or_some_in_the_order_of_the_file(classes) -> None:
    compare_classes(source(classes), NAMES, {'model.head': len(classes)})


def test_coco_needs_no_names() -> None:
    compare_classes(source(None), CocoDataset.METAINFO['classes'], {'model.head': 80})


@pytest.mark.parametrize(
    'classes, categories, message',
    [
        (('box', 'disk', 'bar'), NAMES, r'names disk, which x.json does not have \(disk: did you mean disc\?\)'),
        (('box', 'a', 'b', 'bar'), NAMES, r"names a, b, which x.json does not have; it has \('box', 'disc', 'bar'\)"),
        (('bar', 'disc', 'box'), NAMES, r"names would be swapped: write \('box', 'disc', 'bar'\)$"),
        (('bar', 'box'), NAMES, r"write \('box', 'bar'\)$"),
        (('box', 'box'), NAMES, r"names 'box' twice; write \('box',\)$"),
        ((), NAMES, r"names no class; write those of x.json: \('box', 'disc', 'bar'\)$"),
        ('box', NAMES, r"is the text 'box'; one class is written \('box',\)$"),
        (None, NAMES, r'does not name its classes, .* the 80 of CocoDataset; .* num_classes to 3$'),
        (('box',), ['box', 'box'], "lists the category name 'box' twice"),
        (('box', 'disc'), NAMES, r'model.head.num_classes is 3, but train_dataloader.dataset has 2 classes'),
    ],
)
def test_what_does_not_fit(classes, categories, message) -> None:
    with pytest.raises(InputError, match=message):
        compare_classes(source(classes), categories, {'model.head': 3})


def test_a_model_that_reads_the_names_has_no_number() -> None:
    compare_classes(source(('box',), return_classes=True), NAMES, {'model.head': 256})


def test_long_lists_are_cut() -> None:
    many = [f'class {i}' for i in range(1203)]
    with pytest.raises(InputError, match='with 1203 names') as caught:
        compare_classes(source(many[::-1]), many, {})
    assert len(str(caught.value)) < 800


def test_labels_mean_the_same_in_all_data_sets() -> None:
    train, val = source(('box', 'bar')), source(('bar', 'box'), 'val_dataloader.dataset')
    compare_labels([train, train])
    with pytest.raises(InputError, match=r'train_dataloader\.dataset and val_dataloader\.dataset have other classes'):
        compare_labels([train, train, val])


def test_the_labels_are_mmdets(tmp_path: Path) -> None:
    """Oracle: mmdet's data set numbers the classes as it is assumed here."""
    (tmp_path / 'x.json').write_text(
        '{"images": [], "annotations": [], "categories": [{"id": 7, "name": "box"}, {"id": 3, "name": "disc"}, '
        '{"id": 5, "name": "bar"}]}'
    )
    dataset = CocoDataset(
        ann_file=str(tmp_path / 'x.json'), metainfo={'classes': ('bar', 'disk', 'box')}, serialize_data=False
    )
    assert dataset.cat2label == {7: 0, 5: 1}, 'the order of the file, without those that are not named'
