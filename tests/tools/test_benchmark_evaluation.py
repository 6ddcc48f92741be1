"""tools/analysis/benchmark_evaluation.py on a few small images."""

import re

import numpy as np
from pycocotools import mask as coco_mask

from mmagg.apis.benchmark_evaluation import MAX_DETECTIONS, annotations, detections
from mmagg.apis.errors import run_tool

SHAPE = (96, 128)


def test_both_ways_are_measured_and_agree(capsys) -> None:
    assert run_tool('benchmark_evaluation', ['--images', '3', '--shape', *map(str, SHAPE)]) == 0
    out = capsys.readouterr().out
    count, mask_ap, box_ap, shared, difference = re.search(
        r'(\d+) masks; mask AP (\S+), box AP (\S+); largest difference of (\d+) scores (\S+)', out
    ).groups()
    assert int(count) == sum(len(detections(i, SHAPE, 0)[1]) for i in range(3))
    assert 0 < float(mask_ap) < 1
    assert 0 < float(box_ap) < 1
    assert int(shared) == 12
    assert float(difference) <= 6e-4
    rows = {words[0]: [float(x) for x in words[1:]] for words in map(str.split, out.strip().splitlines()[-4:])}
    assert list(rows) == ['RLE', 'collecting', 'evaluation', 'total']
    *stages, total = np.array(list(rows.values()))[:, :2]
    assert np.abs(sum(stages) - total).max() <= 0.002
    assert rows['total'][2] > 0


def test_what_is_generated() -> None:
    content = annotations(200, SHAPE, seed=3)
    assert 6 < len(content['annotations']) / 200 < 8.5
    assert content == annotations(200, SHAPE, seed=3) != annotations(200, SHAPE, seed=4)
    for annotation in content['annotations'][:20]:
        rle = coco_mask.merge(coco_mask.frPyObjects(annotation['segmentation'], *SHAPE))
        x, y, w, h = annotation['bbox']
        assert 0 <= x <= x + w <= SHAPE[1] - 1
        assert 0 <= y <= y + h <= SHAPE[0] - 1
        assert abs(coco_mask.area(rle) - annotation['area']) < 2 * (w + h) + 4
    counts = [len(detections(i, SHAPE, 3)[1]) for i in range(100)]
    assert min(counts) < 15
    assert max(counts) <= MAX_DETECTIONS
    assert 42 < np.mean(counts) < 61
    (sample, masks), (_, again) = detections(5, SHAPE, 3), detections(5, SHAPE, 3)
    assert (masks == again).all()
    assert masks.flatten(1).any(dim=1).all()
    x1, y1, x2, y2 = sample['pred_instances']['bboxes'].T
    tight = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(masks.numpy().transpose(1, 2, 0).astype(np.uint8))))
    inside = (x1 > 0) & (y1 > 0) & (x2 < SHAPE[1] - 1) & (y2 < SHAPE[0] - 1)
    assert inside.any()
    assert np.abs(tight[inside, 0] - x1[inside].numpy()).max() <= 1
