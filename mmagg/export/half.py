"""An exported model whose modules compute in float16, for GPUs.

What stands between the modules stays in float32: boxes, whose corners float16 rounds to pixels, the choice of
candidates, and the normalisation of the image. So do operators whose arguments are sizes or numbers of float32.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mmagg.export.int8 import module_of

PLACED = 'model.'  # the names of the detector's modules begin so
# Of operators with other inputs than feature maps: how many of the first ones are maps.
MAPS = {'Resize': 1, 'GridSample': 2, 'Pad': 1}
HEAVY = {'Conv', 'MatMul'}  # in float16 also between the modules
FLOAT_ONLY = {
    'Cast',
    'Constant',
    'ConstantOfShape',
    'CumSum',
    'If',
    'Loop',
    'NonMaxSuppression',
    'Range',
    'RoiAlign',
    'TopK',
}


def in_half(content: Any) -> Any:
    """The ONNX model with the arithmetic of its modules in float16; its input and outputs stay as they are.

    Args:
        content: the ONNX model in float32, whose nodes have the names of their modules.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(content)
    graph = model.graph
    floats = set(_floats(graph))
    constants = {x.name: x for x in graph.initializer if x.name in floats}
    captured = set(_captured(graph.node))
    needed = {x.name for x in graph.output} | captured
    halves: set[str] = set()  # tensors that have a copy in float16
    nodes: list[Any] = []

    def half_of(name: str) -> str:
        """The float16 form of a float32 tensor, which is made where it is not there yet."""
        copy = f'{name}_half'
        if name not in halves:
            halves.add(name)
            if name in constants:
                values = onnx.numpy_helper.to_array(constants[name])
                limit = float(np.finfo(np.float16).max)
                clipped = np.clip(values, -limit, limit).astype(np.float16)
                graph.initializer.append(onnx.numpy_helper.from_array(clipped, copy))
            else:
                nodes.append(onnx.helper.make_node('Cast', [name], [copy], to=onnx.TensorProto.FLOAT16))
        return copy

    taken = [_maps(node, floats) if in_float16(node) else [] for node in graph.node]
    for node, maps in zip(graph.node, taken, strict=True):
        for place, name in enumerate(node.input):
            if place not in maps:
                needed.add(name)
    for node, maps in zip(graph.node, taken, strict=True):
        for place in maps:
            node.input[place] = half_of(node.input[place])
        nodes.append(node)
        for place, name in enumerate(node.output if maps else ()):
            if name in floats:
                node.output[place] = f'{name}_half'
                halves.add(name)
                if name in needed:
                    nodes.append(onnx.helper.make_node('Cast', [f'{name}_half'], [name], to=onnx.TensorProto.FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = captured.union(*(node.input for node in nodes))
    for constant in [x for x in graph.initializer if x.name not in used]:
        graph.initializer.remove(constant)
    onnx.checker.check_model(model)
    return model


def in_float16(node: Any) -> bool:
    """Whether an operator computes in float16."""
    return node.op_type in HEAVY or (node.op_type not in FLOAT_ONLY and module_of(node).startswith(PLACED))


def _maps(node: Any, floats: set[str]) -> list[int]:
    """The places of the inputs that become float16; none, if nothing of the node is of floats."""
    most = MAPS.get(node.op_type, len(node.input))
    return [place for place, name in enumerate(node.input[:most]) if name in floats]


def _captured(nodes: Iterable[Any]) -> Iterator[str]:
    """The names of the tensors that the branches of nodes read; they stay in float32, as all in the branches."""
    for node in nodes:
        for branch in (attribute.g for attribute in node.attribute):
            yield from (name for inner in branch.node for name in inner.input)
            yield from (output.name for output in branch.output)
            yield from _captured(branch.node)


def _floats(graph: Any) -> Iterator[str]:
    """The names of all tensors of float32."""
    import onnx

    yield from (x.name for x in graph.initializer if x.data_type == onnx.TensorProto.FLOAT)
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            yield value.name
