"""What happens to an image before the network, as the first nodes of the file: normalisation, and padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def preprocessing(
    *,
    mean: Sequence[float],
    std: Sequence[float],
    rgb: bool,
    pad_value: float = 0.0,
    divisor: int,
    uint8: bool,
    opset: int,
    ir_version: int,
    sizes: Sequence[int | str],
    limits: str | None = None,
) -> Any:
    """An ONNX model from `image` (B, 3, H, W), BGR, to `images`, padded at the bottom and right.

    Args:
        mean: of each channel, in the network's order.
        std: of each.
        rgb: the network's channels are RGB.
        pad_value: of the padding, which comes after the normalisation.
        divisor: of the padded height and width.
        uint8: type of the image, else float32.
        opset: version of the operators.
        ir_version: of the model that it is put before.
        sizes: B, H and W, numbers or names.
        limits: there is an output `limits` as well, (B, 4) width, height, width, height of the image in the input: with
            'image', the input's; with 'img_shape', those that an input of this name says, (B, 2) height and width.
    """
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: Any, kind: Any) -> Any:
        return numpy_helper.from_array(np.array(values, kind), name)

    given = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    batch, height, width = sizes
    nodes = [helper.make_node('Cast', ['image'], ['pre_float'], to=TensorProto.FLOAT)]
    last = 'pre_float'
    constants = [
        constant('pre_mean', np.reshape(mean, (1, 3, 1, 1)), np.float32),
        constant('pre_std', np.reshape(std, (1, 3, 1, 1)), np.float32),
        constant('pre_divisor', [1, 1, divisor, divisor], np.int64),
        constant('pre_zeros', [0, 0, 0, 0], np.int64),
        constant('pre_pad_value', pad_value, np.float32),
    ]
    if rgb:
        constants.append(constant('pre_order', [2, 1, 0], np.int64))
        nodes.append(helper.make_node('Gather', [last, 'pre_order'], ['pre_rgb'], axis=1))
        last = 'pre_rgb'
    nodes += [
        helper.make_node('Sub', [last, 'pre_mean'], ['pre_centred']),
        helper.make_node('Div', ['pre_centred', 'pre_std'], ['pre_normalised']),
        helper.make_node('Shape', ['image'], ['pre_shape']),
        # What is missing to a multiple: (-n) mod d, with the sign of the divisor.
        helper.make_node('Neg', ['pre_shape'], ['pre_negative']),
        helper.make_node('Mod', ['pre_negative', 'pre_divisor'], ['pre_missing']),
        helper.make_node('Concat', ['pre_zeros', 'pre_missing'], ['pre_pads'], axis=0),
        helper.make_node('Pad', ['pre_normalised', 'pre_pads', 'pre_pad_value'], ['images']),
    ]
    inputs = [helper.make_tensor_value_info('image', given, [batch, 3, height, width])]
    outputs = [helper.make_tensor_value_info('images', TensorProto.FLOAT, None)]
    if limits is not None:
        outputs.append(helper.make_tensor_value_info('limits', TensorProto.FLOAT, None))
        nodes.append(helper.make_node('Cast', ['pre_sides'], ['limits'], to=TensorProto.FLOAT))
    if limits == 'image':
        constants.append(constant('pre_axes', [[3, 2, 3, 2]], np.int64))
        nodes.insert(-1, helper.make_node('Gather', ['pre_shape', 'pre_axes'], ['pre_sides'], axis=0))
    elif limits == 'img_shape':
        inputs.append(helper.make_tensor_value_info('img_shape', TensorProto.INT64, [batch, 2]))
        constants.append(constant('pre_axes', [1, 0, 1, 0], np.int64))
        nodes.insert(-1, helper.make_node('Gather', ['img_shape', 'pre_axes'], ['pre_sides'], axis=1))
    graph = helper.make_graph(nodes, 'preprocessing', inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=ir_version)
