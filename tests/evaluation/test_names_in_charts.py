"""Names of classes and files are no formulas."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from made_up_results import made_up, truth_of

from mmagg.evaluation.comparison import compare
from mmagg.evaluation.confusion import Confusion

NAME = r'a $\bad$ b'


def test_dollars_are_dollars(tmp_path: Path) -> None:
    Confusion(np.eye(2, dtype=int), [NAME]).draw(tmp_path / 'confusion.png')
    objects, detections = made_up(8)
    truth = replace(truth_of(objects), classes=(NAME,) * 4)
    found = replace(detections, path=Path(NAME))
    result = compare(truth, found[::2], found, samples=20)
    assert NAME in [row['class'] for row in result.rows if row['low'] is not None]
    result.draw(tmp_path / 'differences.png')
    for path in tmp_path.iterdir():
        assert cv2.imread(str(path)).std() > 5
