"""tools/analysis/benchmark_evaluation.py on a few small images."""

import re

import numpy as np

from mmagg.cli import benchmark_evaluation as command
from mmagg.cli.main import run
from mmagg.costs.evaluation import detections

SHAPE = (96, 128)


def test_both_ways_are_measured_and_agree(capsys) -> None:
    assert run(command, ['--images', '3', '--shape', *map(str, SHAPE)]) == 0
    out = capsys.readouterr().out
    count, differing, mask_ap, box_ap, shared, difference = re.search(
        r'(\d+) masks, (\d+) of their pixels differ; mask AP (\S+), box AP (\S+); '
        r'largest difference of (\d+) scores (\S+)',
        out,
    ).groups()
    assert int(count) == sum(len(detections(i, SHAPE, 0)[1]) for i in range(3))
    assert int(differing) <= 1
    assert 0 < float(mask_ap) < 1
    assert 0 < float(box_ap) < 1
    assert int(shared) == 12
    assert float(difference) <= 6e-4
    rows = {words[0]: [float(x) for x in words[1:]] for words in map(str.split, out.strip().splitlines()[-5:])}
    assert list(rows) == ['post-processing', 'RLE', 'collecting', 'evaluation', 'total']
    *stages, total = np.array(list(rows.values()))[:, :2]
    assert np.abs(sum(stages) - total).max() <= 0.002
    assert rows['total'][2] > 0
