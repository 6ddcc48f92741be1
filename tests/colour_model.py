"""An exported model, made by hand, that finds what is blue, green and red."""

from pathlib import Path

import numpy as np
import pytest

from mmagg.runtime.description import KEY, Description

CLASSES = ('blue', 'green', 'red')
# Rows and columns of what `scene` shows of each.
RECTANGLES = ((slice(8, 24), slice(8, 40)), (slice(32, 56), slice(4, 20)), (slice(32, 48), slice(32, 60)))
# The masks are the channels, the scores their highest values.
GRAPH = """
<ir_version: 9, opset_import: ["" : 18]>
colours (uint8[B, 3, H, W] image)
=> (float[B, 3] scores, int64[B, 3] labels, float[B, 3] min_areas, float[B, 3, h, w] masks)
{
    full = Constant<value_float = 255.0>()
    values = Cast<to = 1>(image)
    shares = Div(values, full)
    size = Shape<start = 2, end = 4>(image)
    divisors = Constant<value_ints = [32, 32]>()
    negative = Neg(size)
    missing = Mod(negative, divisors)
    none = Constant<value_ints = [0, 0, 0, 0, 0, 0]>()
    pads = Concat<axis = 0>(none, missing)
    padded = Pad(shares, pads)
    maps = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(padded)
    sides = Constant<value_ints = [2, 3]>()
    best = ReduceMax<keepdims = 0>(maps, sides)
    number = Constant<value_ints = [3]>()
    scores, labels = TopK<axis = 1>(best, number)
    last = Constant<value_ints = [-1]>()
    places = Unsqueeze(labels, last)
    masks = GatherND<batch_dims = 1>(maps, places)
    zeros = Sub(scores, scores)
    one = Constant<value_float = 1.0>()
    min_areas = Add(zeros, one)
}
"""


def colour_model(
    path: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    side: int = 64,
    shape: tuple[int, int] | None = None,
    **test_cfg: object,
) -> Path:
    """Write the model; images are resized to `side` pixels. Skips the test where a package is missing."""
    onnx = pytest.importorskip('onnx', reason="pip install 'mmagg[onnx]'")
    pytest.importorskip('onnxruntime', reason="pip install 'mmagg[onnx]'")
    model = onnx.parser.parse_model(GRAPH)
    sizes = {'scale': (side, side), 'shape': shape}
    described = Description(family='grid', classes=classes, test_cfg=test_cfg, candidates=3, **sizes)
    onnx.helper.set_model_props(model, {KEY: described.to_json()})
    onnx.save(model, path)
    return path


def scene() -> np.ndarray:
    """(64, 64, 3) uint8 BGR: a rectangle of each colour, the blue one full, the others paler."""
    image = np.zeros((64, 64, 3), np.uint8)
    for channel, (place, value) in enumerate(zip(RECTANGLES, (255, 230, 204), strict=True)):
        image[(*place, channel)] = value
    return image
