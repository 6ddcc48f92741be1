"""Names of classes and files are no formulas."""

from pathlib import Path

import cv2
import numpy as np

from mmagg.evaluation.comparison import Interval, plot_differences
from mmagg.evaluation.confusion import Confusion

NAME = r'a $\bad$ b'


def test_dollars_are_dollars(tmp_path: Path) -> None:
    Confusion(np.eye(2, dtype=int), [NAME]).draw(tmp_path / 'confusion.png')
    plot_differences(NAME, [[Interval(NAME, 0.1, 0.0, 0.2)]], tmp_path / 'differences.png')
    for path in tmp_path.iterdir():
        assert cv2.imread(str(path)).std() > 5
