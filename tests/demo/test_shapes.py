"""The synthetic scenes: deterministic, with exact and disjoint masks, readable as COCO."""

import hashlib
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.datasets.coco_check import check_coco
from mmagg.demo import shapes
from mmagg.demo.shapes import CLASSES, MIN_VISIBLE, draw_scene, scene_generator, write_shapes
from mmagg.io.errors import InputError

SMALL = {'images': 8, 'val_images': 3, 'size': 64, 'seed': 5}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('shapes') / 'data'
    write_shapes(out, **SMALL)
    return out


def _hashes(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob('*') if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _scenes(count: int, size: int = 64) -> list[shapes.Scene]:
    return [draw_scene(scene_generator(0, 'train', index), size) for index in range(count)]


def test_same_arguments_give_same_bytes_whatever_the_threads(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'cpu_count', lambda: 3)
    write_shapes(tmp_path / 'again', **SMALL)
    assert _hashes(tmp_path / 'again') == _hashes(folder)
    assert len(_hashes(folder)) == SMALL['images'] + SMALL['val_images'] + 2


def test_image_depends_on_seed_split_and_index_alone(folder, tmp_path):
    write_shapes(tmp_path / 'fewer', images=2, val_images=1, size=64, seed=5)
    write_shapes(tmp_path / 'seed', images=2, val_images=1, size=64, seed=6)
    names = [f'images/train/{index:06d}.png' for index in range(2)]
    full, fewer, other = _hashes(folder), _hashes(tmp_path / 'fewer'), _hashes(tmp_path / 'seed')
    assert all(full[name] == fewer[name] != other[name] for name in names)


def test_no_image_is_in_both_splits(folder):
    images = {name: value for name, value in _hashes(folder).items() if name.startswith('images')}
    assert len(set(images.values())) == len(images)


def test_masks_are_what_the_later_objects_leave(monkeypatch):
    """Oracle: an instance is its painted pixels minus those painted over afterwards."""
    painted: list[np.ndarray] = []
    paint = shapes._paint
    monkeypatch.setattr(shapes, '_paint', lambda *args: (painted.append(args[2].copy()), paint(*args)))
    overlaps = 0
    for index in range(20):
        painted.clear()
        scene = draw_scene(scene_generator(1, 'train', index), 64)
        assert len(painted) == len(scene.masks) == len(scene.labels)
        covered = np.zeros((64, 64), bool)
        for mask, full in zip(scene.masks[::-1], painted[::-1], strict=True):
            np.testing.assert_array_equal(mask, full & ~covered)
            overlaps += (full & covered).any()
            covered |= full
    assert overlaps > 10


def test_pixels_outside_all_masks_show_the_background(monkeypatch):
    """With painting switched off the image differs within the masks (and the blur's one pixel) only."""
    scene = draw_scene(scene_generator(0, 'train', 0), 96)
    assert len(scene.masks) >= 2
    monkeypatch.setattr(cv2, 'GaussianBlur', lambda image, *args, **options: image)
    sharp = draw_scene(scene_generator(0, 'train', 0), 96)
    paint = shapes._paint

    def invisible(rng, image, *args):
        paint(rng, image.copy(), *args)

    monkeypatch.setattr(shapes, '_paint', invisible)
    background = draw_scene(scene_generator(0, 'train', 0), 96)
    changed = (sharp.image != background.image).any(axis=2)
    assert not (changed & ~sharp.masks.any(axis=0)).any()
    assert changed[sharp.masks.any(axis=0)].mean() > 0.9


def test_masks_are_disjoint_and_no_remnants():
    scenes = _scenes(40)
    for scene in scenes:
        assert scene.image.shape == (64, 64, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.dtype == bool
        assert scene.masks.shape == (len(scene.labels), 64, 64)
        assert scene.masks.sum(axis=0).max(initial=0) <= 1
        # The smallest outline is a star of the smallest diameter.
        assert all(mask.sum() > MIN_VISIBLE * 5 for mask in scene.masks)
    counts = [len(scene.labels) for scene in scenes]
    assert max(counts) <= 7
    assert set(np.concatenate([scene.labels for scene in scenes])) == set(range(len(CLASSES)))


def test_some_scenes_are_empty():
    empty = sum(len(scene.labels) == 0 for scene in _scenes(300, size=32))
    assert 1 <= empty <= 20


@pytest.mark.parametrize('label', range(len(CLASSES)))
def test_outlines_fill_the_area_of_their_formula(label):
    radius = 100.0
    expected = {
        'circle': np.pi,
        'square': 2.0,
        'triangle': 3 * np.sqrt(3) / 4,
        'star': 5 * np.sin(np.pi / 5) * 0.45,
        'ring': np.pi * (1 - 0.55**2),
    }[CLASSES[label]]
    rings = [radius * ring + 128 for ring in shapes._OUTLINES[label]]
    assert shapes._rasterise(rings, 256).sum() == pytest.approx(expected * radius**2, rel=0.04)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotations_are_exact_and_pass_the_check(folder, split):
    ann_file = folder / 'annotations' / f'instances_{split}.json'
    content = json.loads(ann_file.read_text())
    assert [category['name'] for category in content['categories']] == list(CLASSES)
    for ann in content['annotations']:
        mask = coco_mask.decode(ann['segmentation'])
        rows, columns = np.nonzero(mask)
        assert ann['area'] == mask.sum()
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert ann['bbox'] == box
    for image in content['images']:
        scene = draw_scene(scene_generator(SMALL['seed'], split, image['id'] - 1), SMALL['size'])
        stored = cv2.imread(str(folder / 'images' / split / image['file_name']))
        np.testing.assert_array_equal(stored, scene.image)
        anns = [ann for ann in content['annotations'] if ann['image_id'] == image['id']]
        assert [ann['category_id'] - 1 for ann in anns] == scene.labels.tolist()
        for ann, mask in zip(anns, scene.masks, strict=True):
            np.testing.assert_array_equal(coco_mask.decode(ann['segmentation']).astype(bool), mask)
    assert not [f for f in check_coco(ann_file, folder / 'images' / split) if f.severity == 'fatal']


def test_ground_truth_as_detections_is_perfect(folder):
    truth = COCO(folder / 'annotations' / 'instances_train.json')
    found = truth.loadRes([{**ann, 'score': 1.0} for ann in truth.loadAnns(truth.getAnnIds())])
    for kind in ('segm', 'bbox'):
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize('wrong', [{'images': 0}, {'val_images': 0}, {'size': 31}, {'seed': -1}])
def test_arguments_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        write_shapes(tmp_path / 'out', **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['images/a.jpg', 'images/train/a.jpg', 'annotations/instances_train.json'])
def test_photographs_are_not_replaced(tmp_path, name):
    """Also in the layout of a data set."""
    write_shapes(tmp_path, **{**SMALL, 'size': 32})
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"images": []}')
    before = _hashes(tmp_path)
    with pytest.raises(ValueError, match=rf'holds more than a data set of shapes \({name}\)'):
        write_shapes(tmp_path, **SMALL, overwrite=True)
    with pytest.raises(ValueError, match=r'is not empty; choose another folder$'):
        write_shapes(tmp_path, **SMALL)
    assert _hashes(tmp_path) == before


def test_a_link_stays_one(tmp_path):
    (tmp_path / 'link').symlink_to('data')
    for _ in range(2):
        write_shapes(tmp_path / 'link', images=1, val_images=1, size=32, seed=0, overwrite=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'link']


def test_failure_leaves_the_old_data_set_and_nothing_else(folder, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write_shapes(out, images=1, val_images=1, size=32, seed=0)
    before = _hashes(out)

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(shapes, 'draw_scene', fail)
    with pytest.raises(MemoryError):
        write_shapes(out, **SMALL, overwrite=True)
    assert _hashes(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_objects_and_diameters_as_asked_for():
    """Small objects of a large image, whose background is drawn as before."""
    scene = draw_scene(scene_generator(0, 'train', 0), 256, objects=(12, 12), diameters=(16, 32))
    assert len(scene.labels) == 12
    areas = scene.masks.sum((1, 2))
    assert areas.max() <= np.pi * 17**2
    assert areas.min() >= MIN_VISIBLE * 16**2 / 4


@pytest.mark.parametrize(
    'option, message',
    [
        ({'objects': (0, 3)}, 'objects are 0 to 3, must be at least 1'),
        ({'objects': (4, 3)}, 'objects are 4 to 3'),
        ({'diameters': (2, 30)}, 'diameters are 2 to 30, must be from 8 to the image side, 64'),
        ({'diameters': (10, 65)}, 'diameters are 10 to 65'),
    ],
)
def test_objects_that_cannot_be(tmp_path, option, message):
    with pytest.raises(InputError, match=message):
        write_shapes(tmp_path / 'data', **SMALL, **option)
