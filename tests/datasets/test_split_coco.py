"""Exports of annotation tools become folders that train."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tool_exports import CLASSES, NAMES, annotated, cvat, label_studio, roboflow, write_annotations, write_images

from mmagg.datasets.coco_check import check_coco
from mmagg.datasets.coco_folder import class_names
from mmagg.datasets.split_coco import split_coco
from mmagg.io.errors import InputError, one_line


def read(out: Path, split: str) -> dict:
    return json.loads((out / f'annotations/instances_{split}.json').read_text())


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob('*') if path.is_file()}


def images_of(out: Path, split: str) -> list[str]:
    folder = out / 'images' / split
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def checked(out: Path) -> None:
    """It is sound for training, and what it lists is there."""
    assert class_names(out / 'annotations/instances_train.json') == class_names(out / 'annotations/instances_val.json')
    for split in ('train', 'val'):
        findings = check_coco(out / f'annotations/instances_{split}.json', out / 'images' / split)
        assert not [finding for finding in findings if finding.severity == 'fatal']
        assert images_of(out, split) == sorted(image['file_name'] for image in read(out, split)['images'])


EXPORTS = {
    'CVAT': cvat,
    'CVAT, one folder': lambda folder: cvat(folder, images='images'),
    'Label Studio': label_studio,
    'Label Studio, Windows': lambda folder: label_studio(folder, before='images\\'),
    'Label Studio, with images': lambda folder: label_studio(folder, before='..\\..\\media\\upload\\4\\'),
    'Label Studio, a server': lambda folder: label_studio(folder, before='/label-studio/data/media/'),
}


@pytest.mark.parametrize('name', EXPORTS)
def test_an_export_is_split(name, tmp_path):
    export = EXPORTS[name](tmp_path / 'export')
    before = digests(export)
    done = split_coco(export=export, out=tmp_path / 'mine')
    checked(tmp_path / 'mine')
    train, val = read(tmp_path / 'mine', 'train'), read(tmp_path / 'mine', 'val')
    source = json.loads(next(export.rglob('*.json')).read_text())
    assert [len(train['images']), len(val['images'])] == [16, 4]
    assert train['categories'] == val['categories'] == source['categories']
    assert train['licenses'] == source['licenses']
    for part in ('images', 'annotations'):
        theirs = {entry['id']: entry for entry in source[part]}
        ours = {entry['id']: entry for entry in train[part] + val[part]}
        assert ours.keys() == theirs.keys()
        assert all({**ours[key], 'file_name': 0} == {**theirs[key], 'file_name': 0} for key in ours)
    shown = {image['file_name']: image['id'] for image in source['images']}
    for split, content in (('train', train), ('val', val)):
        for image in content['images']:
            (original,) = [path for path in export.rglob('*.jpg') if path.name == image['file_name']]
            assert (tmp_path / 'mine/images' / split / image['file_name']).read_bytes() == original.read_bytes()
            assert [key for key in shown if key.endswith(original.name)] == [
                key for key, number in shown.items() if number == image['id']
            ]
    assert all((done.counts[split].sum(axis=0) > 0).all() for split in ('train', 'val'))
    assert (done.counts['val'].sum(axis=1) == 0).sum() == 1
    assert digests(export) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['export', 'mine']


def test_images_may_lie_elsewhere(tmp_path):
    cvat(tmp_path / 'export', images=None)
    with pytest.raises(InputError, match=r'none of its 20 images is in .*; name their folder with --images'):
        split_coco(export=tmp_path / 'export', out=tmp_path / 'mine')
    assert not (tmp_path / 'mine').exists()
    write_images(tmp_path / 'photographs', NAMES)
    split_coco(export=tmp_path / 'export', out=tmp_path / 'mine', images=tmp_path / 'photographs')
    checked(tmp_path / 'mine')


def test_what_is_split_stays_so(tmp_path):
    export = roboflow(tmp_path / 'export')
    done = split_coco(export=export, out=tmp_path / 'mine')
    checked(tmp_path / 'mine')
    for split, part, count in (('train', 'train', 12), ('val', 'valid', 4)):
        assert images_of(tmp_path / 'mine', split) == sorted(path.name for path in (export / part).glob('*.jpg'))
        assert len(done.counts[split]) == count
        assert [x['id'] for x in read(tmp_path / 'mine', split)['categories']] == [1, 2, 3]
    said = str(done).splitlines()
    assert said[:3] == [
        'train and val are those of the export',
        f'left out, a test part: {export}/test/_annotations.coco.json',
        'left out, categories without an object: 1 (parts)',
    ]


def test_a_part_alone_is_split(tmp_path):
    export = roboflow(tmp_path / 'export')
    (export / 'valid').rename(tmp_path / 'valid')
    done = split_coco(export=export, out=tmp_path / 'mine', val=0.33)
    assert [len(done.counts[split]) for split in ('train', 'val')] == [8, 4]
    assert not done.kept
    assert done.test is not None


def test_parts_of_other_categories_are_refused(tmp_path):
    export = roboflow(tmp_path / 'export')
    content = json.loads((export / 'valid/_annotations.coco.json').read_text())
    content['categories'][1]['name'] = 'screw'
    write_annotations(export / 'valid/_annotations.coco.json', content)
    with pytest.raises(InputError, match=r'differ in category 1 \((nut|screw)\)'):
        split_coco(export=export, out=tmp_path / 'mine')


def test_what_has_no_file_or_no_entry_is_said(tmp_path):
    export = cvat(tmp_path / 'export')
    for name in NAMES[:5]:
        (export / 'images/default' / name).unlink()
    write_images(export / 'images/default', ['new.jpg'])
    done = split_coco(export=export, out=tmp_path / 'mine')
    checked(tmp_path / 'mine')
    assert done.missing == NAMES[:5]
    assert 'left out, images without a file: 5 (00.jpg, 01.jpg, 02.jpg, …)' in str(done)
    assert f'left out, files without an entry: 1 ({export}/images/default/new.jpg)' in str(done)
    assert sum(len(count) for count in done.counts.values()) == 15


def test_equal_names_in_folders_and_names_of_all_kinds(tmp_path):
    names = [f'{folder}/{name}' for folder in ('cat', 'dog') for name in ('1.jpg', 'two words.jpg', 'Gerät ✓.png')]
    write_images(tmp_path / 'export/images', names)
    write_annotations(tmp_path / 'export/annotations/instances_default.json', annotated(names))
    split_coco(export=tmp_path / 'export', out=tmp_path / 'mine', val=0.5)
    checked(tmp_path / 'mine')
    for split in ('train', 'val'):
        for image in read(tmp_path / 'mine', split)['images']:
            source = tmp_path / 'export/images' / names[image['id'] - 1]
            assert (tmp_path / f'mine/images/{split}/{image["file_name"]}').read_bytes() == source.read_bytes()


def test_the_same_seed_gives_the_same_folder(tmp_path):
    export = cvat(tmp_path / 'export')
    for out, seed in (('a', 0), ('b', 0), ('c', 1)):
        split_coco(export=export, out=tmp_path / out, seed=seed)
    a, b, c = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob('*.*')} for out in 'abc'
    )
    assert a == b
    assert a != c


def test_links_lead_to_the_images(tmp_path, monkeypatch):
    cvat(tmp_path / 'export')
    monkeypatch.chdir(tmp_path)
    for again in (False, True):
        split_coco(export=Path('export'), out=Path('mine'), link=True, overwrite=again)
    checked(tmp_path / 'mine')
    assert all(path.is_symlink() for path in (tmp_path / 'mine').rglob('*.jpg'))
    assert len(images_of(tmp_path / 'export', 'default')) == 20


@pytest.mark.parametrize('link', [False, True])
def test_a_folder_that_holds_the_images_of_links_is_not_replaced(tmp_path, link):
    mine, linked = tmp_path / 'mine', tmp_path / 'linked'
    split_coco(export=cvat(tmp_path / 'export'), out=mine)
    split_coco(export=mine, out=linked, link=True)
    before = digests(mine)
    with pytest.raises(InputError, match=r'OUT .*mine: holds .*mine/images/train/00.jpg, to which .*linked.* leads'):
        split_coco(export=linked, out=mine, link=link, overwrite=True)
    assert digests(mine) == before


def test_only_its_own_folder_is_replaced(tmp_path):
    export, out = cvat(tmp_path / 'export'), tmp_path / 'mine'
    split_coco(export=export, out=out)
    before = digests(out)
    with pytest.raises(InputError, match='is not empty; choose another folder or pass --overwrite'):
        split_coco(export=export, out=out)
    split_coco(export=export, out=out, overwrite=True)
    assert digests(out) == before
    (out / 'images/train/thesis.jpg').touch()
    with pytest.raises(InputError, match=r'holds more than a split export .*thesis.jpg'):
        split_coco(export=export, out=out, overwrite=True)
    assert (out / 'images/train/thesis.jpg').exists()


def test_a_folder_in_the_export_is_not_searched(tmp_path):
    write_images(tmp_path, NAMES)
    write_annotations(tmp_path / 'result.json', annotated(NAMES))
    for again in (False, True):
        done = split_coco(export=tmp_path, out=tmp_path / 'mine', overwrite=again)
        assert done.unlisted == []


def broken(**changes: object) -> dict:
    return {**annotated(NAMES), **changes}


UNLISTED = annotated(NAMES)['annotations'][:1]


@pytest.mark.parametrize(
    'content, message',
    [
        ('{', 'is not JSON'),
        ([], 'is not COCO format'),
        (broken(images=[]), 'has no images'),
        (broken(annotations=[]), 'has no annotations'),
        (broken(images=annotated(NAMES[:1])['images']), 'annotation 1: its image_id, 2, is not listed'),
        (broken(annotations=[{**UNLISTED[0], 'category_id': 9}]), 'annotation 0: its category_id, 9, is not listed'),
        (broken(images=annotated(NAMES[:1])['images'], annotations=UNLISTED), 'is the only image'),
        (broken(images=[{'id': 1, 'file_name': '00.jpg', 'width': None, 'height': None}]), 'not in whole pixels'),
        (broken(categories=[{'id': place, 'name': 'nut'} for place in (1, 2, 3)]), "category name 'nut' twice"),
        ({'shapes': [], 'imagePath': '00.jpg'}, 'is of labelme'),
        ({'_via_settings': {}, '_via_img_metadata': {}}, 'is of VIA'),
    ],
)
def test_what_cannot_be_used_is_refused(content, message, tmp_path):
    export = cvat(tmp_path / 'export')
    path = write_annotations(export / 'annotations/instances_default.json', content)
    if isinstance(content, str):
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        split_coco(export=export, out=tmp_path / 'mine')
    assert [path.name for path in tmp_path.iterdir()] == ['export']


def test_arguments_out_of_range_are_refused(tmp_path):
    export = cvat(tmp_path / 'export')
    for message, arguments in {
        '--val 0': {'val': 0},
        '--val 1': {'val': 1},
        '--val nan': {'val': float('nan')},
        '--seed -1': {'seed': -1},
        '--images .*no such folder': {'images': tmp_path / 'nowhere'},
        'is an input': {'out': export},
        'holds .*, which is read': {'out': tmp_path},
        'is a file': {'out': export / 'images/default/00.jpg'},
    }.items():
        with pytest.raises(InputError, match=message):
            split_coco(**{'export': export, 'out': tmp_path / 'mine', **arguments})


@pytest.mark.parametrize('place', ['annotations', 'images/default'])
def test_a_folder_that_may_not_be_read_is_named(place, tmp_path, monkeypatch):
    export = cvat(tmp_path / 'export')
    scandir = os.scandir  # root may read everything

    def refusing(path):
        if Path(path) == export / place:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refusing)
    with pytest.raises((PermissionError, InputError)) as caught:
        split_coco(export=export, out=tmp_path / 'mine')
    monkeypatch.undo()
    line = one_line(caught.value)
    assert 'ermission' in line
    assert str(export / place) in line
    assert not (tmp_path / 'mine').exists()


def test_a_folder_that_may_not_be_read_is_passed_if_nothing_is_missing(tmp_path, monkeypatch):
    export = cvat(tmp_path / 'export', images='images')
    (export / 'images/lost+found').mkdir()
    scandir = os.scandir
    monkeypatch.setattr(os, 'scandir', lambda path: scandir(path if 'lost' not in str(path) else '/nowhere'))
    assert split_coco(export=export, out=tmp_path / 'mine').missing == []


def test_boxes_alone_are_counted(tmp_path):
    names = [f'{place:02}.jpg' for place in range(8)]
    write_images(tmp_path / 'export/images', names)
    content = annotated(names)
    for annotation in content['annotations'][:2]:
        annotation['segmentation'] = []
    del content['annotations'][4]['segmentation']
    write_annotations(tmp_path / 'export/result.json', content)
    said = str(split_coco(export=tmp_path / 'export', out=tmp_path / 'mine'))
    way = 'draw outlines, remove them, or learn from boxes with configs/boxinst'
    assert f'without a mask, boxes alone: 3 of 6 objects ({way})' in said


def test_a_share_that_is_far_off_is_explained(tmp_path):
    names = [f'{place:02}.jpg' for place in range(10)]
    write_images(tmp_path / 'export/images', names)
    content = annotated(names, classes=['nut'])
    one = content['annotations'][0]
    content['categories'].append({'id': 2, 'name': 'bolt'})
    content['annotations'] += [{**one, 'id': 100 + place, 'category_id': 2} for place in range(30)]  # in one image
    content['annotations'] += [{**one, 'id': 200, 'image_id': 2, 'category_id': 2}]
    write_annotations(tmp_path / 'export/result.json', content)
    said = str(split_coco(export=tmp_path / 'export', out=tmp_path / 'mine'))
    assert 'share in val far from the 20% asked for: bolt; an image is in one part with all its objects' in said
    even = str(split_coco(export=cvat(tmp_path / 'even'), out=tmp_path / 'other'))
    assert 'far from' not in even
    kept = str(split_coco(export=roboflow(tmp_path / 'kept'), out=tmp_path / 'third', val=0.9))
    assert 'far from' not in kept


def test_twin_classes_are_said(tmp_path):
    names = [f'{place:02}.jpg' for place in range(9)]
    write_images(tmp_path / 'export/images', names)
    write_annotations(tmp_path / 'export/result.json', annotated(names, classes=['nut', 'Nut ', 'bo\nlt']))
    said = str(split_coco(export=tmp_path / 'export', out=tmp_path / 'mine')).splitlines()
    assert said[0].startswith('warning: class names that ')
    assert said[0].endswith("'nut' of 2 objects and 'Nut ' of 2 objects)")
    assert said[1].startswith('warning: class names that are empty or have a line break')
    assert said[-2].startswith('bo\\nlt ')


def test_the_table_counts_objects(tmp_path):
    done = split_coco(export=cvat(tmp_path / 'export'), out=tmp_path / 'mine')
    table = str(done).splitlines()
    assert [line.split()[0] for line in table[1:-1]] == ['images', 'without', *CLASSES]
    assert table[1].split() == ['images', '16', '4', '20%']
    assert int(np.sum(done.counts['train'])) + int(np.sum(done.counts['val'])) == 15
    assert table[-1] == f'written to {tmp_path}/mine'
