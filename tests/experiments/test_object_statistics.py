"""SOLO's statistics of objects against a plain loop over objects, pairs and cells."""

import json
from itertools import combinations
from math import floor, hypot
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmagg.cli import object_statistics as command
from mmagg.cli.main import run
from mmagg.experiments.object_statistics import object_statistics, pair_counts
from mmagg.io.errors import InputError

# Images as they are, so that cells can be counted from the pixels.
CONFIG = """
_base_ = '{root}/configs/solo/solo_r50_fpn_3x_coco.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    mask_head=dict(
        grids=(9, 5), strides=(8, 16),
        assigner=dict(_delete_=True, type='GridCellAssigner', scale_ranges=((1, 90), (60, 2048)), min_area=1,
                      rounding='floor')))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='Pad', size_divisor=1), dict(type='PackDetInputs')]))
"""
GRIDS, RANGES = (9, 5), ((1, 90), (60, 2048))


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / 'plain.py'
    path.write_text(CONFIG.format(root=root))
    return path


def naively(path: Path, distance: float, ratio: float) -> dict[str, int]:
    """Each pair of objects of each image, and each cell around each object."""
    coco = COCO(str(path))
    found = dict.fromkeys(('objects', 'pairs', 'apart', 'unequal', 'claims', 'positives', 'without'), 0)
    for image_id, image in coco.imgs.items():
        size = [-(-image[side] // 32) * 32 for side in ('height', 'width')]
        objects, taken = [], set()
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            rows, columns = coco.annToMask(annotation).nonzero()
            if annotation['iscrowd'] or not len(rows):
                continue
            _, _, w, h = annotation['bbox']
            objects.append((columns.mean(), rows.mean(), (w * h) ** 0.5))
            own = set()
            for level, (grid, (low, high)) in enumerate(zip(GRIDS, RANGES, strict=True)):
                spans = []
                for centre, side, extent in ((rows.mean(), h, size[0]), (columns.mean(), w, size[1])):
                    first, middle, last = (floor((centre + d * side / 2) / extent * grid) for d in (-0.2, 0, 0.2))
                    spans.append(range(max(first, middle - 1, 0), min(last, middle + 1, grid - 1) + 1))
                if low <= (w * h) ** 0.5 <= high:
                    own |= {(level, i, j) for i in spans[0] for j in spans[1]}
            found['claims'] += len(own)
            found['without'] += not own
            taken |= own
        found['positives'] += len(taken)
        found['objects'] += len(objects)
        for one, other in combinations(objects, 2):
            found['pairs'] += 1
            if hypot(one[0] - other[0], one[1] - other[1]) > distance:
                found['apart'] += 1
            elif max(one[2], other[2]) > ratio * min(one[2], other[2]):
                found['unequal'] += 1
    return found


def test_as_a_plain_loop_counts(shapes_folder: Path, config: Path) -> None:
    path = shapes_folder / 'annotations/instances_train.json'
    result = object_statistics(path, config=config, distance=20, ratio=1.2)
    expected = naively(path, 20, 1.2)
    assert 0 < expected['unequal'] < expected['pairs'] - expected['apart']
    assert {name: getattr(result, name) for name in expected} == expected
    assert result.positives_per_object == expected['positives'] / expected['objects']


def test_as_a_plain_loop_counts_on_photographs(shared: Path, config: Path) -> None:
    path = shared / 'data/coco_open_125/annotations/instances_val.json'
    result = object_statistics(path, config=config)
    expected = naively(path, 30, 1.5)
    assert {name: getattr(result, name) for name in expected if name not in CELLS} == {
        name: number for name, number in expected.items() if name not in CELLS
    }
    for name in CELLS:  # the border of two cells is found in float32
        assert getattr(result, name) == pytest.approx(expected[name], rel=2e-3), name


CELLS = 'claims', 'positives', 'without'


def test_pairs_of_many_objects_take_little_memory() -> None:
    images = np.repeat([0, 3], [1500, 2])
    rng = np.random.default_rng(0)
    centres, sides = rng.random((1502, 2)) * 100, rng.random(1502) + 1
    expected = [0, 0, 0]
    for image in (0, 3):
        xy, s = centres[images == image], sides[images == image]
        first, second = np.triu_indices(len(xy), 1)
        near = np.hypot(*(xy[first] - xy[second]).T) <= 30
        large = np.maximum(s[first], s[second]) > 1.5 * np.minimum(s[first], s[second])
        expected = [
            a + int(b) for a, b in zip(expected, (len(first), (~near).sum(), (near & large).sum()), strict=True)
        ]
    assert pair_counts(images, centres, sides, distance=30, ratio=1.5) == tuple(expected)
    assert pair_counts(images[:0], centres[:0], sides[:0], distance=30, ratio=1.5) == (0, 0, 0)


def test_crowds_are_left_out_and_the_config_is_solos(shapes_folder: Path, tmp_path: Path, capsys) -> None:
    content = json.loads((shapes_folder / 'annotations/instances_val.json').read_text())
    content['annotations'][0]['iscrowd'] = 1
    ann, out = tmp_path / 'ann.json', tmp_path / 'new/statistics.json'
    ann.write_text(json.dumps(content))
    assert run(command, [str(ann), '--json', str(out)]) == 0
    report = json.loads(out.read_text())
    assert report['objects'] == len(content['annotations']) - 1
    assert report['config'].endswith('solo_r50_fpn_3x_coco.py')
    assert report['apart_share'] == report['apart'] / report['pairs']
    printed = capsys.readouterr().out
    assert f'{report["objects"]} objects, crowds left out' in printed
    assert f'{report["positives_per_object"]:.2f}' in printed
    assert run(command, [str(ann), '--json', str(ann)]) == 2


def test_what_cannot_be_counted(shapes_folder: Path, tmp_path: Path) -> None:
    content = json.loads((shapes_folder / 'annotations/instances_val.json').read_text())
    ann = tmp_path / 'ann.json'
    ann.write_text(json.dumps({**content, 'annotations': []}))
    with pytest.raises(InputError, match='no object with a mask'):
        object_statistics(ann)
    with pytest.raises(InputError, match="no GridCellAssigner; name one of SOLO's family"):
        object_statistics(ann, config='mmdet::solo/solo_r50_fpn_1x_coco.py')
    for limit, message in (
        (dict(distance=-3), '--distance -3: pixels from 0 on'),
        (dict(distance=float('nan')), '--distance nan: '),
        (dict(ratio=0), '--ratio 0: of the larger size to the smaller, from 1 on'),
        (dict(ratio=float('inf')), '--ratio inf: '),
    ):
        with pytest.raises(InputError, match=message):
            object_statistics(ann, **limit)
