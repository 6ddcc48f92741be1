"""Results are made, drawn and written where neither PyTorch nor MMDetection is."""

import subprocess
import sys

from hidden_packages import HIDE

SCRIPT = (
    HIDE
    + """

from pathlib import Path

import numpy as np
from mmagg.apis import Result
from mmagg.apis.image_sources import image_sources
from mmagg.formats.image_files import FORMATS
from mmagg.rle.codes import masks_to_rle

folder = Path(sys.argv[1])
(image,) = image_sources(np.full((60, 80, 3), 90, np.uint8)).images
masks = np.zeros((2, 60, 80), bool)
masks[0, 10:30, 20:50] = masks[1, 25:55, 5:70] = True
result = Result(
    size=(60, 80),
    classes=('fig', 'date'),
    boxes=np.array([[20, 10, 50, 30], [5, 25, 70, 55]], np.float32),
    scores=np.array([0.9, 0.8], np.float32),
    labels=np.array([1, 0]),
    rles=tuple(masks_to_rle(masks)),
    name=image.name,
    pixels=image.pixels,
)
assert (result.masks() == masks).all()
assert [ring.shape for polygons in result.polygons() for rings in polygons for ring in rings] == [(4, 2), (4, 2)]
assert (result.plot() != image.pixels).any()
assert result.crop(0, masked=True).shape == (20, 30, 4)
result.save(folder / 'picture.png')
for name in FORMATS:
    result.save(folder / name, name)
assert not {*HIDDEN} & {*sys.modules}
"""
)


def test_results_are_drawn_and_written(root, tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, tmp_path], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.iterdir()]) > 5
