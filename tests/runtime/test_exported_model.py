"""A tiny exported model in each runtime, from images to instances."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx_files import BOXED, DESCRIBED, tiny, written

from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask
from mmagg.runtime.exported_model import ExportedModel
from mmagg.runtime.found import Found

RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f'{name} is not installed'))
    for name in ('onnxruntime', 'openvino')
]
BOXED_SETTINGS = replace(DESCRIBED, family='boxed')


def image(height: int, width: int) -> np.ndarray:
    """A blue rectangle of a quarter of the image, and a green column."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = pixels[:, -width // 4 :, 1] = 255
    return pixels


def same(one: Found, other: Found) -> bool:
    return one.size == other.size and one.rles == other.rles and (one.scores == other.scores).all()


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('dtype', ['uint8', 'float'])
def test_masks_are_where_they_are_in_the_image(tmp_path: Path, runtime: str, dtype: str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny(dtype=dtype)), runtime=runtime, threads=1)
    assert (model.runtime, model.classes) == (runtime, ('fig', 'date'))
    for size in ((64, 96), (50, 75), (100, 60), (31, 200)):
        pixels = image(*size)
        (found,) = model([pixels])
        assert found.size == size
        assert found.labels.tolist() == [1, 0]
        assert (found.scores > 0.6).all()
        for rle, channel, box in zip(found.rles, range(2), found.boxes, strict=True):
            mask, want = decode_mask(rle), pixels[..., channel] > 127
            assert (mask & want).sum() > 0.9 * (mask | want).sum()
            y, x = np.nonzero(mask)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_boxes_are_scaled_to_the_image(tmp_path: Path, runtime: str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny(BOXED), BOXED_SETTINGS), runtime=runtime)
    (found,) = model([image(128, 192)])
    assert found.boxes.tolist() == [[16, 8, 48, 40], [60, 20, 120, 80]]
    np.testing.assert_allclose(found.scores, [0.9, 0.8], rtol=1e-6)
    assert [decode_mask(rle).sum() for rle in found.rles] == pytest.approx([32 * 32, 60 * 60], rel=0.1)


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('batch', ['B', 1, 3])
def test_a_batch_has_the_results_of_one_by_one(tmp_path: Path, runtime: str, batch: int | str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny(batch=batch)), runtime=runtime, threads=1)
    images = [image(*size) for size in ((64, 96), (50, 75), (64, 96), (128, 192), (100, 60))]
    for found, pixels in zip(model(images), images, strict=True):
        assert same(found, model([pixels])[0])
    assert model([]) == []


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_a_fixed_shape_gives_the_results_of_any(tmp_path: Path, runtime: str) -> None:
    """Where an image is resized to the same size; other ones are made to fit."""
    fixed = replace(DESCRIBED, shape=(64, 96), mean=(0, 0, 0))
    path = written(tmp_path / 'fixed.onnx', tiny(size='64, 96'), fixed)
    model, free = (ExportedModel(one, runtime=runtime) for one in (path, written(tmp_path / 'free.onnx', tiny())))
    for size in ((64, 96), (50, 75), (60, 80)):
        (found,), (other,) = (one([image(*size)]) for one in (model, free))
        assert same(found, other)
    assert model.prepare(image(100, 60)).img_shape == (64, 38)
    (found,) = model([image(100, 60)])
    assert decode_mask(found.rles[0])[:50, :30].mean() > 0.9


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_nothing_found(tmp_path: Path, runtime: str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny()), runtime=runtime)
    (found,) = model([np.zeros((40, 50, 3), np.uint8)])
    assert (len(found), found.boxes.shape, found.rles) == (0, (0, 4), ())


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_what_is_no_image_is_named(tmp_path: Path, runtime: str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny()), runtime=runtime)
    good = image(40, 50)
    with pytest.raises(InputError, match=r'image_1: an array of uint8, shape \(0, 5, 3\)'):
        model([good, np.zeros((0, 5, 3), np.uint8)])
    with pytest.raises(InputError, match='image_0: an array of float64'):
        model([good / 255, good])
    with pytest.raises(InputError, match='image_1: 1 × 1000 pixels, cannot be transformed: too narrow'):
        model([good, np.zeros((1000, 1, 3), np.uint8)])


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_a_file_that_does_not_keep_its_word(tmp_path: Path, runtime: str) -> None:
    model = ExportedModel(written(tmp_path / 'a.onnx', tiny(label=7)), runtime=runtime)
    with pytest.raises(InputError, match='a class beyond its 2 names'):
        model([image(40, 50)])
    with pytest.raises(InputError, match=r'b.onnx: the model has no output boxes'):
        ExportedModel(written(tmp_path / 'b.onnx', tiny(), BOXED_SETTINGS), runtime=runtime)


SCRIPT = """
import sys

HIDDEN = 'torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet', 'onnx'

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in HIDDEN:
            raise ImportError(f'{name} is hidden')

sys.meta_path.insert(0, Absent())

import numpy as np
from mmagg.runtime.exported_model import ExportedModel

for runtime in sys.argv[2:]:
    (found,) = ExportedModel(sys.argv[1], runtime=runtime)([np.full((40, 50, 3), 255, np.uint8)])
    assert len(found) == 2
assert not {*HIDDEN} & {*sys.modules}
"""


def test_without_torch(root: Path, tmp_path: Path) -> None:
    path = written(tmp_path / 'a.onnx', tiny())
    runtimes = [name for name in ('onnxruntime', 'openvino') if find_spec(name) is not None]
    command = [sys.executable, '-c', SCRIPT, str(path), *runtimes]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
