"""Statistics of data sets: by hand, against the heads' own targets, and as a user calls the command."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from test_configs import slim

from mmagg.apis.config import load_config
from mmagg.cli import data_stats as command
from mmagg.cli.main import run
from mmagg.datasets.coco_file import read_coco
from mmagg.datasets.network_sizes import network_sizes
from mmagg.experiments import object_places as places_file
from mmagg.experiments.annotated_objects import annotated_objects
from mmagg.experiments.config_fit import LARGE, OWN, config_fits, short_list
from mmagg.experiments.crowding import crowding
from mmagg.experiments.data_stats import data_stats
from mmagg.experiments.object_places import assigning_head, mask_pixels, object_places
from mmagg.io.errors import InputError
from mmagg.rle.codes import masks_to_rle

# The network sees images as they are, so that pixels can be counted.
CONFIG = """
_base_ = '{root}/configs/{name}.py'
model = dict(test_cfg=dict(max_per_img={cap}))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Pad', size_divisor=1), dict(type='PackDetInputs')]))
"""
GRID, BOXED = 'own/solov2_lite0_fpn_320', 'own/blendmask_lite0_fpn_320'


@pytest.fixture
def config(root: Path, tmp_path: Path):
    def write(name: str, cap: int = 100) -> Path:
        path = tmp_path / f'{Path(name).name}_as_it_is.py'
        path.write_text(CONFIG.format(root=root, name=name, cap=cap))
        return path

    return write


def write(path: Path, images: Sequence[Sequence[dict]], *, sizes: Sequence[tuple[int, int]]) -> Path:
    """An annotation file of images with objects of two classes."""
    content = {
        'images': [dict(id=i, file_name=f'{i}.png', height=h, width=w) for i, (h, w) in enumerate(sizes, 1)],
        'annotations': [],
        'categories': [dict(id=3, name='nut'), dict(id=9, name='bolt')],
    }
    for image, objects in enumerate(images, 1):
        for one in objects:
            number = len(content['annotations']) + 1
            content['annotations'].append(dict(id=number, image_id=image, category_id=3, iscrowd=0) | one)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def square(x: float, y: float, side: float, **more: object) -> dict:
    ring = [x, y, x + side, y, x + side, y + side, x, y + side]
    return dict(bbox=[x, y, side, side], segmentation=[ring], area=side**2) | more


# The second square takes the first one's cells and, as the first of two equal boxes wins, loses its locations. The
# last is below a stride, and no location of stride 8 is in it: 12 and 20 are next to it.
SQUARES = [square(100, 100, 40), square(100, 100, 40), square(200, 200, 60, category_id=9), square(14, 14, 4)]


@pytest.mark.parametrize(
    'name, without, lost, small', [(GRID, 0, 1, 1), ('own/aggmask-solo_lite0_a2fpn_320', 0, 1, 1), (BOXED, 1, 1, 1)]
)
def test_collisions_that_are_known(config, tmp_path, name, without, lost, small):
    ann = write(tmp_path / 'ann.json', [SQUARES, []], sizes=[(320, 320)] * 2)
    stats = data_stats(ann, config=config(name, cap=3))
    (fit,) = stats.fits
    assert (fit.without, fit.lost, fit.small, fit.beyond) == (without, lost, small, 1)
    assert fit.missed == 2, 'two are reached, which the three detections of an image do not bound'
    assert (fit.objects, fit.stride, fit.cap, fit.image) == (4, 8, 3, (320, 320))
    assert stats.more_detections == 4
    assert stats.objects.tolist() == [[3, 1]]
    assert stats.having.tolist() == [[1, 1]]
    assert (stats.images, stats.empty, stats.per_image.tolist()) == ([2], [1], [4, 0])
    assert stats.crowding.neighbours.tolist() == [1, 1, 0, 0]
    assert stats.crowding.iou.tolist() == [1, 1, 0, 0]
    assert stats.sides.tolist() == [40, 40, 60, 4]
    assert data_stats(ann, config=config(name, cap=1)).fits[0].missed == 3


def ellipses(rng: np.random.Generator, number: int, size: tuple[int, int]) -> list[dict]:
    """Objects whose masks are drawn, many on one another."""
    masks = np.zeros((number, *size), np.uint8)
    for mask in masks:
        centre = [int(rng.integers(0, side)) for side in reversed(size)]
        cv2.ellipse(mask, centre, rng.integers(2, 70, 2).tolist(), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    found = []
    for rle in masks_to_rle(torch.from_numpy(masks)):
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(masks[len(found)]))
        found.append(dict(bbox=[x, y, w, h], segmentation=rle))
    return found


def head_of(cfg: Config) -> torch.nn.Module:
    model = cfg.model.to_dict()
    slim(model)
    return MODELS.build(model['mask_head'])


@pytest.mark.parametrize(
    'name',
    [GRID, BOXED, 'solo/solo_r50_fpn_3x_coco', 'solov2/solov2_r50_fpn_3x_coco', 'meinst/meinst-atss_r50_fpn_1x_coco'],
)
def test_as_the_heads_own_targets(config, tmp_path, monkeypatch, name):
    sizes = [(320, 416), (288, 320), (320, 416)]
    rng = np.random.default_rng(0)
    ann = write(
        tmp_path / 'ann.json',
        [ellipses(rng, n, size) for n, size in zip((40, 25, 15), sizes, strict=True)],
        sizes=sizes,
    )
    cfg, objects = load_config(config(name)), annotated_objects(read_coco(ann))
    monkeypatch.setattr(places_file, 'MOST_CLAIMS', 2**16)
    part = assigning_head(cfg)
    places = object_places(part, objects, network_sizes(cfg, sizes))
    torch.set_num_threads(1)
    head = head_of(cfg)
    for image, size in enumerate(sizes):
        mine = objects.images == image
        boxes = torch.from_numpy(objects.boxes[mine]).float()
        count = len(boxes)
        if 'grids' in part:
            masks = torch.from_numpy(decoded(ann, image))
            targets = head.assigner.assign(boxes, masks, size)
            assert places.positives[mine].tolist() == torch.bincount(targets.gts, minlength=count).tolist()
            owners = targets.gt_of_cell.unique()
            alone = [
                head.assigner.assign(boxes[i : i + 1], masks[i : i + 1], size).cells.numel() > 0 for i in range(count)
            ]
        else:
            shapes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in part['strides']]
            labels = torch.zeros(count, dtype=torch.long)
            targets = head.boxes.assign(shapes, [boxes], [labels])
            assert places.positives[mine].tolist() == torch.bincount(targets.gts, minlength=count).tolist()
            owners = targets.gts.unique()
            alone = [len(head.boxes.assign(shapes, [boxes[i : i + 1]], [labels[:1]]).gts) > 0 for i in range(count)]
        assert np.flatnonzero(places.owns[mine]).tolist() == owners[owners >= 0].tolist()
        assert places.fits[mine].tolist() == alone
    # ATSS gives each object of its own: thresholds follow its candidates.
    assert 'atss' in name or (places.fits & ~places.owns).any(), 'nothing is lost, so nothing is tested'
    assert places.on_level.shape == (len(objects), len(part['strides']))


def decoded(ann: Path, image: int) -> np.ndarray:
    from pycocotools.coco import COCO

    coco = COCO(str(ann))
    return np.stack([coco.annToMask(one) for one in coco.imgToAnns[image + 1]])


def test_masks_of_a_level(root):
    for name, expected in (
        (GRID, [4] * 4),
        ('solo/solo_r50_fpn_3x_coco', [4, 4, 8, 16, 16]),
        (BOXED, [4] * 4),
        ('own/meinst_lite0_fpn_320', [None] * 4),
    ):
        cfg = load_config(root / f'configs/{name}.py')
        assert mask_pixels(cfg, assigning_head(cfg)) == expected


def test_crowding_is_that_of_a_loop(tmp_path):
    rng = np.random.default_rng(1)
    sizes = [(300, 400)] * 3
    ann = write(tmp_path / 'ann.json', [ellipses(rng, n, (300, 400)) for n in (12, 1, 9)], sizes=sizes)
    objects = annotated_objects(read_coco(ann))
    ious = bbox_overlaps(*[torch.from_numpy(objects.boxes)] * 2).numpy()
    neighbours, most, distance = np.zeros(22, int), np.zeros(22), np.full(22, np.inf)
    for one, other in combinations(range(22), 2):
        if objects.images[one] == objects.images[other]:
            for a, b in ((one, other), (other, one)):
                neighbours[a] += ious[a, b] > 0
                most[a] = max(most[a], ious[a, b])
                distance[a] = min(distance[a], np.hypot(*(objects.centres[a] - objects.centres[b])))
    found = crowding(objects)
    assert found.neighbours.tolist() == neighbours.tolist()
    np.testing.assert_allclose(found.iou, most)
    np.testing.assert_allclose(found.distance, distance)


def test_a_part_of_the_images_is_looked_at(config, tmp_path):
    ann = write(tmp_path / 'ann.json', [[square(i, i, 50)] for i in range(10)], sizes=[(320, 320)] * 10)
    stats = data_stats(ann, config=config(GRID), images=4)
    assert (stats.looked_at, stats.fits[0].objects, stats.objects.sum()) == (4, 4, 10)
    assert '4 objects of 4 images' in str(stats)
    assert data_stats(ann, config=config(GRID), images=0).looked_at == 10


def test_a_config_without_an_assigner_of_ours(tmp_path):
    ann = write(tmp_path / 'ann.json', [SQUARES], sizes=[(320, 320)])
    stats = data_stats(ann, config='mmdet::solo/solo_r50_fpn_1x_coco.py')
    assert stats.fits[0].lost is None
    assert 'objects without a location                          –' in str(stats)


def test_those_that_agree_are_computed_once(root, tmp_path, monkeypatch):
    objects = annotated_objects(read_coco(write(tmp_path / 'ann.json', [SQUARES], sizes=[(320, 320)])))
    runs = []
    monkeypatch.setattr(
        'mmagg.experiments.config_fit.object_places', lambda *given: runs.append(1) or object_places(*given)
    )
    names = [BOXED, 'own/meinst_lite0_fpn_320', GRID, 'own/aggmask-solov2_lite0_a2fpn_320']
    fits = config_fits([root / f'configs/{name}.py' for name in names], objects)
    assert len(runs) == 2
    assert [Path(fit.config).stem for fit in fits] == [Path(name).name for name in names]


def test_the_short_list_is_there(root):
    assert {f'own/{path.stem}' for path in (root / 'configs/own').glob('*.py')} == set(OWN)
    assert list(short_list()) == [*OWN, *LARGE]


def test_the_command_says_which_config_suits(shapes_folder, tmp_path, monkeypatch, capsys):
    chosen = ['own/solov2_lite0_fpn_512', GRID, BOXED, 'own/meinst_lite0_fpn_320']
    monkeypatch.setattr(
        'mmagg.experiments.data_stats.short_list', lambda: {name: short_list()[name] for name in chosen}
    )
    out, file = tmp_path / 'stats', tmp_path / 'numbers.json'
    assert run(command, [str(shapes_folder), '--out', str(out), '--json', str(file)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(file.read_text())
    best = report['configs'][0]['config']
    assert f'\n{report["advice"]}\nnext: ' in printed
    assert f'train mmagg::{best}.py --coco {shapes_folder}' in printed
    shares = [round(100 * one['missed'] / one['objects']) for one in report['configs']]
    assert shares == sorted(shares)
    assert {one['config'] for one in report['configs']} == set(chosen)
    assert sum(one['train objects'] for one in report['classes']) == report['parts']['train']['objects'] > 0
    assert sorted(path.name for path in out.iterdir()) == [
        'classes.csv',
        'configs.csv',
        'data_stats.json',
        'data_stats.png',
    ]
    assert json.loads((out / 'data_stats.json').read_text()) == report


def test_the_command_for_a_file_and_one_config(config, shapes_folder, tmp_path, capsys):
    ann, path = shapes_folder / 'annotations/instances_val.json', config(GRID)
    assert run(command, [str(ann), '--config', str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith(f'train {path} --coco {shapes_folder}')
    assert '0           8    36' in printed
    other = tmp_path / 'other.json'
    other.write_bytes(ann.read_bytes())
    assert run(command, [str(other), '--config', str(path)]) == 0
    assert f'mmagg split-coco {other}' in capsys.readouterr().out


def test_what_cannot_be_counted(config, shapes_folder, tmp_path, capsys):
    empty = tmp_path / 'empty.json'
    empty.touch()
    none = write(tmp_path / 'none.json', [[square(0, 0, 9, iscrowd=1)]], sizes=[(32, 32)])
    broken = write(tmp_path / 'broken.json', [[square(0, 0, 9, bbox=[0, 0, 'x', 9])]], sizes=[(32, 32)])
    for source, message in (
        (empty, f'error: {empty} is empty, so it is not COCO format'),
        (none, f'error: {none}: no object with a mask (crowds left out), nothing to count'),
        (broken, f'error: {broken}: annotation 0: '),
        (tmp_path / 'none', f'error: annotations {tmp_path / "none"}: no such file'),
        (tmp_path, f'error: {tmp_path}: no annotations/instances_train.json or instances_val.json'),
        (shapes_folder / 'images', f'error: {shapes_folder / "images"}: no annotations/instances_train.json'),
    ):
        assert run(command, [str(source)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(message)
        assert error.count('\n') == 1
    ann = shapes_folder / 'annotations/instances_val.json'
    assert run(command, [str(ann), '--json', str(ann)]) == 2
    assert run(command, [str(shapes_folder), '--out', str(ann.parent)]) == 2
    with pytest.raises(InputError, match='no such file'):
        data_stats(ann, config='none.py')


def test_objects_without_a_mask_are_told(config, tmp_path):
    objects = [square(10, 10, 50), square(90, 90, 50, segmentation=[]), square(9, 9, 200, iscrowd=1)]
    stats = data_stats(write(tmp_path / 'ann.json', [objects], sizes=[(320, 320)]), config=config(GRID))
    assert (stats.crowds, stats.maskless, stats.objects.sum()) == (1, 1, 1)
    assert 'left out: 1 crowd regions, 1 objects without a mask or a box' in str(stats)


def test_what_cannot_be_looked_at_is_said_as_it_is(config, root, tmp_path):
    """An image that is too thin to be resized, and objects that lie outside of theirs."""
    thin = write(tmp_path / 'thin.json', [[square(0, 0, 1)]], sizes=[(1, 5000)])
    with pytest.raises(InputError, match='5000 × 1 pixels, cannot be transformed'):
        data_stats(thin, config=str(root / 'configs/demo/solo_tiny_shapes.py'))
    outside = write(tmp_path / 'outside.json', [[square(500, 500, 9)]], sizes=[(320, 320)])
    with pytest.raises(InputError, match='no object has a pixel in its image'):
        data_stats(outside, config=config(GRID))


def test_names_are_a_line_each(config, tmp_path):
    ann = write(tmp_path / 'ann.json', [SQUARES], sizes=[(320, 320)])
    ann.write_text(ann.read_text().replace('"nut"', json.dumps('nut\nor')))
    assert [line for line in str(data_stats(ann, config=config(GRID))).splitlines() if line.startswith('nut\\nor ')]
