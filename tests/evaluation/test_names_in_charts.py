"""Names of classes and files are no formulas."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
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


def test_a_name_that_no_font_has_is_the_number_of_its_class(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match='no installed font has \U0010fff0;'):  # a private character
        Confusion(np.eye(3, dtype=int), ['a', '\U0010fff0']).draw(tmp_path / 'named.png')
    Confusion(np.eye(3, dtype=int), ['a', '1']).draw(tmp_path / 'numbered.png')
    assert (cv2.imread(str(tmp_path / 'named.png')) == cv2.imread(str(tmp_path / 'numbered.png'))).all()
