"""Other packages' objects; those that are not installed are named with the line that installs them."""

from collections.abc import Callable
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.packages import (
    COLUMNS,
    fiftyone_detections,
    package,
    pandas_table,
    supervision_detections,
    table_rows,
)
from mmagg.io.errors import InputError
from mmagg.rle.codes import masks_to_rle

WAYS = {'supervision': supervision_detections, 'fiftyone': fiftyone_detections, 'pandas': pandas_table}


def masks() -> np.ndarray:
    masks = np.zeros((2, 20, 40), bool)
    masks[0, 3:9, 4:8] = True
    masks[0, 5, 5] = False
    masks[1, 12:15, 20:30] = True
    return masks


def image(*, tracks: bool = False) -> AnnotatedImage:
    return AnnotatedImage(
        name='a.jpg',
        size=(20, 40),
        classes=('nut', 'nail'),
        labels=np.array([1, 0]),
        masks=masks_to_rle(masks()),
        boxes=np.array([[3.5, 3, 8, 9], [20, 12, 30, 15]], np.float32),
        scores=np.array([0.75, 0.25], np.float32),
        tracks=np.array([7, 8]) if tracks else None,
    )


@pytest.mark.parametrize('way', WAYS)
def test_each_package_has_an_extra(root: Path, way: str) -> None:
    setup = ConfigParser()
    setup.read(root / 'setup.cfg')
    assert way in setup['options.extras_require'][way]


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(InputError, match=r"no_such: cannot be imported \(.*\): pip install 'mmagg\[no_such\]'"):
        package('no_such')


@pytest.mark.parametrize(('way', 'convert'), WAYS.items())
def test_those_that_are_missing_here_say_so(way: str, convert: Callable) -> None:
    if find_spec(way):
        pytest.skip('it is installed')
    with pytest.raises(InputError, match=rf"pip install 'mmagg\[{way}\]'"):
        convert(image())


def test_rows_of_a_table() -> None:
    rows = table_rows(image(tracks=True))
    assert COLUMNS == ('image', 'label', 'class', 'score', 'track', 'x1', 'y1', 'x2', 'y2', 'area')
    assert rows[0] == ('a.jpg', 1, 'nail', 0.75, 7, 3.5, 3, 8, 9, 23)
    assert table_rows(AnnotatedImage('a', (2, 3), ('x',))) == []


def test_supervision_draws_and_filters() -> None:
    supervision = pytest.importorskip('supervision')
    found = supervision_detections(image(tracks=True))
    assert (found.mask == masks()).all()
    assert (found.xyxy == image().boxes).all()
    assert (found.tracker_id.tolist(), found.data['class_name'].tolist()) == ([7, 8], ['nail', 'nut'])
    assert found[found.confidence > 0.5].class_id.tolist() == [1]
    picture = supervision.MaskAnnotator().annotate(np.zeros((20, 40, 3), np.uint8), found)
    assert (picture.any(axis=2) == masks().any(axis=0)).all()
    none = supervision_detections(AnnotatedImage('a', (20, 40), ('x',)))
    assert len(none) == 0
    assert len(supervision.Detections.merge([found, none])) == 2


def test_pandas_has_a_row_for_each() -> None:
    pytest.importorskip('pandas')
    table = pandas_table(image())
    assert [*table.columns] == [*COLUMNS]
    assert table['class'].tolist() == ['nail', 'nut']
    assert table['track'].isna().all()


def test_fiftyone_masks_fill_their_boxes() -> None:
    pytest.importorskip('fiftyone')
    first, second = fiftyone_detections(image(tracks=True)).detections
    assert (first.label, first.index, first.confidence) == ('nail', 7, 0.75)
    assert (first.mask == masks()[0, 3:9, 4:8]).all()
    assert first.bounding_box == [4 / 40, 3 / 20, 4 / 40, 6 / 20]
    assert second.mask.all()
