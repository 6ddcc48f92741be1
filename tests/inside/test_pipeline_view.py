"""Images and annotations at the end of a pipeline against the annotations themselves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from mmengine.registry import init_default_scope

import mmagg.register  # noqa: F401
from mmagg.demo.shapes import write_shapes
from mmagg.inside.pipeline_view import PipelineView

IMAGE = dict(type='LoadImageFromFile')
MASKS = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
BIGGER = dict(type='Resize', scale=(96, 160), keep_ratio=False)
BOXES = dict(type='LoadAnnotations', with_bbox=True)
FLIP = dict(type='RandomFlip', prob=0.5)
PACK = dict(type='PackDetInputs')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images of 64 by 64 pixels; the first annotation is a crowd."""
    init_default_scope('mmdet')
    folder = tmp_path_factory.mktemp('data')
    write_shapes(folder, images=4, val_images=1, size=64, seed=0)
    path = folder / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['iscrowd'] = 1
    path.write_text(json.dumps(content))
    return folder


def view(folder: Path, *pipeline: dict, seed: int = 0, wrapper: dict | None = None) -> PipelineView:
    content = json.loads((folder / 'annotations/instances_train.json').read_text())
    dataset = dict(
        type='CocoDataset',
        data_root=str(folder),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        metainfo=dict(classes=tuple(category['name'] for category in content['categories'])),
        pipeline=list(pipeline),
    )
    return PipelineView({**wrapper, 'dataset': dataset} if wrapper else dataset, seed=seed)


def test_pictures_depend_on_seed_image_and_draw_alone(folder: Path) -> None:
    first, again, other = (view(folder, IMAGE, MASKS, FLIP, PACK, seed=seed) for seed in (0, 0, 1))
    images = [[seen.fed(i, draw).picture.image for draw in range(8)] for seen in (first, other) for i in (0, 1)]
    for i in (1, 0):
        np.testing.assert_array_equal(again.fed(i, 5).picture.image, images[i][5])
    assert len({image.tobytes() for image in images[0]}) == 2  # flipped and not
    assert any((a != b).any() for a, b in zip(images[0], images[2], strict=True))


@pytest.mark.parametrize('loader', [MASKS, dict(type='LoadPolygonAnnotations')], ids=lambda step: step['type'])
def test_masks_boxes_and_crowds_are_those_of_the_file(folder: Path, loader: dict) -> None:
    seen = view(folder, IMAGE, loader, PACK)
    fed = seen.fed(0)
    content = json.loads((folder / 'annotations/instances_train.json').read_text())
    mine = [ann for ann in content['annotations'] if ann['image_id'] == content['images'][0]['id']]
    crowd, *objects = mine
    picture = fed.picture
    assert (fed.path, tuple(fed.stored_size)) == (seen.path(0), (64, 64))
    assert len(picture.labels) == len(objects)
    assert len(picture.ignored) == 1
    for mask, ann in zip([*picture.masks, picture.ignored[0]], [*objects, crowd], strict=True):
        wanted = coco_mask.decode(ann['segmentation']).astype(bool)
        assert (mask & wanted).sum() > 0.6 * (mask | wanted).sum()  # traced outlines lose a border
    x, y, width, height = np.array([ann['bbox'] for ann in objects]).T
    np.testing.assert_allclose(picture.boxes, np.stack([x, y, x + width, y + height], 1), atol=1e-3)
    np.testing.assert_array_equal(seen.stored(0).image, picture.image)


@pytest.mark.parametrize('loader', [MASKS, dict(MASKS, poly2mask=False)], ids=['bitmaps', 'polygons'])
def test_annotations_loaded_after_resizing_stand_where_they_belong(folder: Path, loader: dict) -> None:
    early = view(folder, IMAGE, loader, BIGGER, PACK).fed(1).picture
    late = view(folder, IMAGE, BIGGER, loader, PACK).fed(1).picture
    assert late.image.shape == (160, 96, 3)
    np.testing.assert_array_equal(late.masks, early.masks)
    np.testing.assert_allclose(late.boxes, early.boxes, atol=1e-3)
    padded = view(folder, IMAGE, BIGGER, dict(type='Pad', size=(200, 100)), loader, PACK).fed(1).picture
    np.testing.assert_array_equal(padded.masks[:, :160, :96], early.masks)
    assert not padded.masks[:, 160:].any()


def test_boxes_alone(folder: Path) -> None:
    picture = view(folder, IMAGE, BOXES, PACK).fed(0).picture
    assert picture.masks is None
    inside = np.argwhere(picture.ignored[0])[:, ::-1]
    x, y, width, height = json.loads((folder / 'annotations/instances_train.json').read_text())['annotations'][0][
        'bbox'
    ]
    np.testing.assert_allclose(inside.min(0), [x, y], atol=1)
    np.testing.assert_allclose(inside.max(0) + 1, [x + width, y + height], atol=1)


def test_stages_are_named_and_leave_the_pipeline_as_it_was(folder: Path) -> None:
    seen = view(folder, IMAGE, MASKS, BIGGER, FLIP, PACK)
    path, stages = seen.stages(2)
    names, pictures = zip(*stages, strict=True)
    assert path == seen.path(2)
    assert names == ('LoadAnnotations', 'Resize', 'RandomFlip')
    assert [picture.image.shape[:2] for picture in pictures] == [(64, 64), (160, 96), (160, 96)]
    np.testing.assert_array_equal(pictures[-1].image, seen.fed(2).picture.image)
    assert len(seen.stages(2)[1]) == 3
    with pytest.raises(ValueError, match='loads no annotations'):
        view(folder, IMAGE, PACK).stages(0)


def test_images_that_are_mixed(folder: Path) -> None:
    mosaic = dict(type='MultiImageMixDataset', pipeline=[dict(type='Mosaic', img_scale=(64, 64)), PACK])
    seen = view(folder, IMAGE, BOXES, wrapper=mosaic)
    assert [name for name, _ in seen.stages(1)[1]] == ['Mosaic']
    assert seen.fed(1).picture.image.shape == (128, 128, 3)
    assert seen.stored(1).image.shape == (64, 64, 3)


def test_a_missing_file_that_the_pipeline_ignores(folder: Path, tmp_path: Path) -> None:
    seen = view(shutil.copytree(folder, tmp_path / 'data'), dict(IMAGE, ignore_empty=True), MASKS, PACK)
    seen.path(0).unlink()
    with pytest.raises(ValueError, match='cannot read it, and ignores that'):
        seen.stored(0)


def test_masks_that_are_not_of_the_image(folder: Path) -> None:
    crop = dict(type='mmcv.CenterCrop', crop_size=(32, 32))
    masks = dict(MASKS, with_bbox=False)
    with pytest.raises(ValueError, match='32 x 32 pixels with masks of 64 x 64'):
        view(folder, IMAGE, masks, crop, PACK).fed(0)
    assert view(folder, IMAGE, masks, PACK).fed(1).picture.drawn(()).shape == (64, 64, 3)


def test_images_are_found_by_name_or_id(folder: Path) -> None:
    seen = view(folder, IMAGE, MASKS, PACK)
    path = seen.path(2)
    assert seen.find(path.name) == seen.find(f'train/{path.name}') == seen.find(str(path)) == 2
    assert seen.find(str(seen.dataset.get_data_info(3)['img_id'])) == 3
    with pytest.raises(LookupError, match='no image other among the 4'):
        seen.find('other')
    assert seen.some(100) == [0, 1, 2, 3]
    assert len(set(seen.some(2))) == 2
