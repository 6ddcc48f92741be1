"""`Result`: what it holds, and how it leaves."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmagg.apis.result import Result
from mmagg.formats.image_files import FORMATS
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask, masks_to_rle
from mmagg.rle.polygons import polygons_to_rle

CLASSES = ('nut', 'nail')


def ring() -> np.ndarray:
    """(3, 40, 50) bool: one with a hole, one of two parts, an empty one."""
    masks = np.zeros((3, 40, 50), bool)
    masks[0, 5:25, 5:25] = True
    masks[0, 10:15, 10:15] = False
    masks[1, 30:35, 30:35] = masks[1, 36:39, 40:45] = True
    return masks


@pytest.fixture
def result() -> Result:
    found = InstanceData(
        labels=torch.tensor([0, 1, 0]),
        scores=torch.tensor([0.9, 0.5, 0.25]),
        bboxes=torch.tensor([[5.0, 5, 25, 25], [30, 30, 45, 39], [0, 0, 0, 0]]),
        masks=torch.from_numpy(ring()),
    )
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    return Result.of(found, (40, 50), CLASSES, name='deep/a.jpg', pixels=pixels)


def test_what_it_holds(result: Result) -> None:
    assert (len(result), result.size, result.names) == (3, (40, 50), ['nut', 'nail', 'nut'])
    assert result.boxes.tolist() == [[5, 5, 25, 25], [30, 30, 45, 39], [0, 0, 0, 0]]
    assert (result.masks() == ring()).all()
    for polygons, mask in zip(result.polygons(), ring(), strict=True):
        assert (decode_mask(polygons_to_rle(polygons, (40, 50))) == mask).all()
    assert [len(polygons) for polygons in result.polygons()] == [1, 2, 0]
    assert len(result.polygons()[0][0]) == 2, 'the outer ring, and the hole'
    assert result.pred_instances.masks == list(result.rles)
    none = Result.of(
        InstanceData(labels=torch.zeros(0), scores=torch.zeros(0), bboxes=torch.zeros(0, 4)), (4, 5), CLASSES
    )
    assert none.masks().shape == (0, 4, 5)
    assert [*none] == []


def test_it_is_shown_on_a_line(result: Result) -> None:
    """Not by arrays and run-length codes, which fill the screen of a notebook."""
    assert repr(result) == '<Result of deep/a.jpg, 50 x 40 pixels: 2 nut, 1 nail>'
    assert repr(result[[]]) == '<Result of deep/a.jpg, 50 x 40 pixels: nothing>'


def test_some_of_the_instances(result: Result) -> None:
    for which, labels in (
        (1, [1]),
        (-1, [0]),
        (slice(1, None), [1, 0]),
        ([2, 1], [0, 1]),
        ([], []),
        (result.scores > 0.3, [0, 1]),
        (np.array([1]), [1]),
    ):
        some = result[which]
        assert some.labels.tolist() == labels
        assert len(some.rles) == len(some.boxes) == len(some.scores) == len(labels)
    assert [one.names for one in result] == [['nut'], ['nail'], ['nut']]
    with pytest.raises(IndexError):
        result[3]


def test_pictures(result: Result, tmp_path: Path) -> None:
    before = result.image.copy()
    assert result.plot().shape == (40, 50, 3)
    assert (result.plot() != before).any()
    assert (result.image == before).all()
    assert (result.crop(0) == before[5:25, 5:25]).all()
    cut = result.crop(0, masked=True)
    assert (cut[..., 3] == 255 * ring()[0, 5:25, 5:25]).all()
    assert result.crop(2).shape == (1, 1, 3), 'of an empty mask'
    cv2.imwrite(str(tmp_path / 'a.png'), before)
    there = Result(size=(40, 50), classes=CLASSES, name='a.png', path=tmp_path / 'a.png')
    assert (there.image == before).all()
    with pytest.raises(InputError, match='this result has no image'):
        Result(size=(40, 50), classes=CLASSES).plot()


def test_a_model_that_finds_boxes_alone() -> None:
    found = InstanceData(labels=torch.tensor([1]), scores=torch.tensor([0.5]), bboxes=torch.tensor([[1.0, 2, 3, 4]]))
    result = Result.of(found, (8, 9), CLASSES, pixels=np.zeros((8, 9, 3), np.uint8))
    assert result.rles == (None,)
    assert result.plot().any()
    assert result.to_coco()['annotations'][0]['area'] == 4
    assert 'masks' not in result.pred_instances
    for call in (result.masks, result.polygons, lambda: result.crop(0, masked=True)):
        with pytest.raises(InputError, match='boxes without masks'):
            call()


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.json', 'a.geojson', 'a.csv', 'a.txt', 'labelme', 'label_studio'])
def test_saved_by_suffix_or_format(result: Result, tmp_path: Path, name: str) -> None:
    if name in ('a.txt', 'labelme'):
        pytest.importorskip(f'mmagg.formats.{"yolo" if name == "a.txt" else name}')
    form = None if '.' in name else name
    path = result.save(tmp_path / 'deep' / (name if form is None else 'a.json'), form)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    text = path.read_bytes()
    if name == 'a.json':
        assert json.loads(text) == result.to_coco()
    if name == 'label_studio':
        assert json.loads(text) == [result.to_label_studio()]
    if name == 'a.csv':
        assert text.decode().splitlines()[1] == 'deep/a.jpg,0,nut,0.8999999761581421,,5.0,5.0,25.0,25.0,375'


def test_outlines_that_are_simplified(result: Result, tmp_path: Path) -> None:
    """So that they can be edited; no object gets lost, however small, and other formats refuse it."""
    y, x = np.mgrid[:200, :200]
    masks = np.stack([(x - 99) ** 2 + (y - 99) ** 2 < 90**2, (x == 5) & (y == 5)])
    round_ = replace(result[:2], size=(200, 200), rles=tuple(masks_to_rle(masks)))
    exact, simple = ([len(line.split()) for line in round_.to_yolo(*some)] for some in ([], [1]))
    assert simple[0] < exact[0] / 4
    assert simple[1] == exact[1]
    shapes = json.loads(round_.save(tmp_path / 'a.json', 'labelme', tolerance=1).read_text())['shapes']
    assert shapes == round_.to_labelme(1)['shapes'] != round_.to_labelme()['shapes']
    assert len(shapes) == 2
    assert round_.save(tmp_path / 'a.txt', tolerance=1).read_text().splitlines() == round_.to_yolo(1)
    for name, tolerance, said in (('a.geojson', 1, 'outlines of yolo and labelme alone'), ('a.txt', -1, 'at least 0')):
        with pytest.raises(InputError, match=said):
            round_.save(tmp_path / name, tolerance=tolerance)


def test_a_geotiff_is_saved_in_the_coordinates_of_its_map(result: Result, tmp_path: Path) -> None:
    rasterio = pytest.importorskip('rasterio')
    profile = {'driver': 'GTiff', 'width': 50, 'height': 40, 'count': 3, 'dtype': 'uint8', 'crs': 'EPSG:32633'}
    transform = rasterio.Affine(0.5, 0, 600000, 0, -0.5, 5800000)
    with rasterio.open(tmp_path / 'a.tif', 'w', transform=transform, **profile) as file:
        file.write(result.image.transpose(2, 0, 1))
    there = replace(result, path=tmp_path / 'a.tif', pixels=None)
    saved = json.loads(there.save(tmp_path / 'a.geojson').read_text())
    assert saved == json.loads(json.dumps(there.to_geojson(transform, 'EPSG:32633')))
    assert min(saved['features'][0]['geometry']['coordinates'][0]) == [600002.5, 5799987.5]


def test_the_image_itself_is_not_overwritten(result: Result, tmp_path: Path) -> None:
    file, link = tmp_path / 'a.png', tmp_path / 'b.png'
    cv2.imwrite(str(file), result.pixels)
    link.symlink_to(file)
    before = file.read_bytes()
    for path in (file, link):
        with pytest.raises(InputError, match='name another place'):
            replace(result, path=file, pixels=None).save(path)
    assert file.read_bytes() == before


def test_what_cannot_be_saved(result: Result, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no format has the suffix '\.bmp'; take \.jpg, \.png, \.json"):
        result.save(tmp_path / 'a.bmp')
    with pytest.raises(InputError, match=f'format horse: choose {", ".join(FORMATS)}'):
        result.save(tmp_path / 'a.json', 'horse')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('tolerance', [-1.0, float('nan'), float('inf')])
def test_a_tolerance_is_a_number_of_pixels(tolerance: float) -> None:
    with pytest.raises(InputError, match=r'tolerance .*: pixels, from 0 on'):
        Result((4, 4), CLASSES).polygons(tolerance)
