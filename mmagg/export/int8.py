"""Convolutions of an exported model in int8: static quantisation by ONNX Runtime's tool, with ranges seen in images.

Weights are int8 with a scale for each channel, activations uint8 with the range from their least to their greatest
value (QDQ: pairs of QuantizeLinear and DequantizeLinear, which ONNX Runtime and OpenVINO merge into the operators).
"""

import ast
from collections.abc import Container, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

SCOPES = 'pkg.torch.onnx.name_scopes'  # of a node, by PyTorch's exporter: the modules that it is in, as a list
PREPARED = 'onnx.quant.pre_process', 'onnxruntime.quant'  # by which the tool knows that a model needs no preparation
# Modules that stay in float32: the first layers, whose channels differ most in range, and those that return a score, a
# distance or the weights of a convolution.
FLOAT = (
    'model.backbone.conv1',
    'model.backbone.stem*',
    'model.backbone.stages.0*',
    'model.backbone.stages.1.0*',
    '*.conv_cls',
    '*.conv_box',
    '*.conv_centerness',
    '*.conv_kernel',
    '*.parameter_branch.conv',
)
WARNING, ERROR = 2, 3  # of ONNX Runtime's messages
SUMMED = 'model.backbone*', 'model.neck*'  # modules whose sums are in int8 as well, so that no map is in float between


def quantised(content: Any, feeds: Iterable[Mapping[str, np.ndarray]]) -> Any:
    """An exported model with convolutions in int8.

    Args:
        content: the ONNX model in float32, whose nodes have the names of their modules.
        feeds: images as the model takes them, one batch after the other, by the names of its inputs; others are left
            out. The ranges of activations are theirs.

    Returns:
        the ONNX model.

    Raises:
        ValueError: nothing of the model would be in int8.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    constants = {x.name for x in content.graph.initializer}
    nodes = [node for node in content.graph.node if in_int8(node)]
    names = [node.name for node in nodes if node.op_type != 'Conv' or node.input[1] in constants]
    if not names:  # of which the tool would make: all
        raise ValueError('no node has the name of a module whose convolutions are computed in int8')
    with TemporaryDirectory(prefix='mmagg-int8-') as folder:
        plain, result = Path(folder) / 'float.onnx', Path(folder) / 'int8.onnx'
        given = onnx.ModelProto()
        given.CopyFrom(content)
        onnx.helper.set_model_props(given, dict([PREPARED]))
        onnx.save(given, plain)
        onnxruntime.set_default_logger_severity(ERROR)  # not what it leaves out of the branches of an If
        try:
            quantize_static(
                plain,
                result,
                Feeds(feeds, {x.name for x in content.graph.input}),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=['Conv', 'Add'],
                nodes_to_quantize=names,
            )
        finally:
            onnxruntime.set_default_logger_severity(WARNING)
        found = onnx.load(result)
    found.producer_name = content.producer_name
    del found.metadata_props[:]
    found.metadata_props.extend(content.metadata_props)
    return found


class Feeds:
    """The inputs of a model, one batch at a time, as ONNX Runtime's tool asks for them.

    Args:
        feeds: as of `quantised`.
        names: of the inputs.
    """

    def __init__(self, feeds: Iterable[Mapping[str, np.ndarray]], names: Container[str]) -> None:
        self._feeds = ({name: x for name, x in feed.items() if name in names} for feed in feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next ones; None at the end."""
        return next(self._feeds, None)


def in_int8(node: Any) -> bool:
    """Whether a node is computed in int8."""
    module = module_of(node)
    if node.op_type == 'Add':
        return _like(module, SUMMED) and not _like(module, FLOAT)
    return node.op_type == 'Conv' and module.startswith('model.') and not _like(module, FLOAT)


def _like(module: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def module_of(node: Any) -> str:
    """The name of the module that a node is in, such as `model.mask_head.conv_cls`; empty outside of modules."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), '[]')
    return next(iter(ast.literal_eval(scopes)[-2:-1]), '')
