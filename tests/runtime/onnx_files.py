"""Tiny exported models, written as ONNX's own text: three candidates, whose masks are the channels of the image."""

from pathlib import Path

import pytest

from mmagg.runtime.description import KEY, Description

onnx = pytest.importorskip('onnx', reason='the tests of exported models need the package onnx')
parser = pytest.importorskip('onnx.parser')

GRID = """<ir_version: 10, opset_import: ["" : OPSET]>
tiny (DTYPE[B, 3, H, W] image)
=> (float[B, 3] scores, int64[B, 3] labels, float[B, 3] min_areas, float[B, 3, h, w] masks)
{
    sides = Shape<start = 2> (image)
    divisor = Constant<value_ints = [32]> ()
    rest = Mod(sides, divisor)
    missing = Sub(divisor, rest)
    more = Mod(missing, divisor)
    none = Constant<value_ints = [0, 0, 0, 0, 0, 0]> ()
    pads = Concat<axis = 0> (none, more)
    pixels = Cast<to = 1> (image)
    padded = Pad(pixels, pads)
    pooled = AveragePool<kernel_shape = [4, 4], strides = [4, 4]> (padded)
    white = Constant<value_float = 255.0> ()
    masks = Div(pooled, white)
    batch = Shape<end = 1> (image)
    three = Constant<value_ints = [3]> ()
    shape = Concat<axis = 0> (batch, three)
    score = Constant<value_floats = [0.875, 0.75, 0.0]> ()
    scores = Expand(score, shape)
    label = Constant<value_ints = [1, 0, LABEL]> ()
    labels = Expand(label, shape)
    area = Constant<value_floats = [4.0, 8.0, 4.0]> ()
    min_areas = Expand(area, shape)
}
"""
BOXED = """<ir_version: 10, opset_import: ["" : OPSET]>
tiny (DTYPE[B, 3, H, W] image)
=> (float[B, 3, 4] boxes, float[B, 3] scores, int64[B, 3] labels, float[B, 3, 7, 7] masks)
{
    batch = Shape<end = 1> (image)
    three = Constant<value_ints = [3]> ()
    shape = Concat<axis = 0> (batch, three)
    score = Constant<value_floats = [0.81, 0.64, 0.0]> ()
    scores = Expand(score, shape)
    label = Constant<value_ints = [1, 0, LABEL]> ()
    labels = Expand(label, shape)
    four = Constant<value_ints = [1, 3, 4]> ()
    edges = Constant<value_floats = [8.0, 4.0, 24.0, 20.0, 30.0, 10.0, 60.0, 40.0, 0.0, 0.0, 1.0, 1.0]> ()
    box = Reshape(edges, four)
    sides = Constant<value_ints = [4]> ()
    box_shape = Concat<axis = 0> (batch, three, sides)
    boxes = Expand(box, box_shape)
    seven = Constant<value_ints = [7, 7]> ()
    mask_shape = Concat<axis = 0> (batch, three, seven)
    inside = Constant<value_float = 5.0> ()
    masks = Expand(inside, mask_shape)
}
"""
DESCRIBED = Description(family='grid', classes=('fig', 'date'), scale=(96, 64), test_cfg={}, candidates=3)


def tiny(
    text: str = GRID,
    *,
    batch: int | str = 'B',
    size: str = 'H, W',
    dtype: str = 'uint8',
    label: int = 1,
    opset: int = 18,
) -> 'onnx.ModelProto':
    """A model without a description."""
    text = text.replace('OPSET', str(opset)).replace('DTYPE', dtype).replace('LABEL', str(label))
    return parser.parse_model(text.replace('[B,', f'[{batch},').replace('H, W', size))


def written(path: Path, model: 'onnx.ModelProto', description: Description | str | None = DESCRIBED) -> Path:
    """The model's file, with a description."""
    if description is not None:
        text = description if isinstance(description, str) else description.to_json()
        onnx.helper.set_model_props(model, {KEY: text, 'other': 'is left alone'})
    onnx.save(model, path)
    return path
