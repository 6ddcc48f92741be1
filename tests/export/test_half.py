"""A small network in float16: its types, its results, and what stays in float32."""

import numpy as np
from named_network import images, network, onnx, run

from mmagg.export.half import in_half


def types(model: 'onnx.ModelProto') -> dict[str, str]:
    """The type of each convolution's weight, by the name of its node."""
    kinds = {x.name: onnx.TensorProto.DataType.Name(x.data_type) for x in model.graph.initializer}
    return {node.name: kinds[node.input[1]] for node in model.graph.node if node.op_type == 'Conv'}


def test_weights_are_float16_and_input_and_outputs_are_not() -> None:
    model = network()
    before = model.SerializeToString()
    found = in_half(model)
    assert set(types(found).values()) == {'FLOAT16'}
    assert found.graph.input == model.graph.input
    assert found.graph.output == model.graph.output
    assert model.SerializeToString() == before
    onnx.checker.check_model(found, full_check=True)


def test_results_are_those_of_float32_to_its_precision() -> None:
    model, image = network(), images()[1]
    want, got = (run(x, image) for x in (model, in_half(model)))
    assert 0 < np.abs(got - want).max() < 5e-3 * np.abs(want).max()


def test_no_weight_stays_twice() -> None:
    found = in_half(network())
    used = [name for node in found.graph.node for name in node.input]
    assert all(x.name in used for x in found.graph.initializer)
    assert all(x.data_type == onnx.TensorProto.FLOAT16 for x in found.graph.initializer)


def test_a_map_that_float32_needs_as_well_is_cast_once() -> None:
    model = network()
    extra = [onnx.helper.make_node('Range', ['zero', 'top', 'one'], ['steps'], name='range')]
    extra.insert(0, onnx.helper.make_node('ReduceMax', ['x2'], ['top'], name='top', keepdims=0))
    model.graph.node.extend(extra)
    for name, value in (('zero', 0.0), ('one', 1.0)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.output.append(onnx.helper.make_tensor_value_info('steps', onnx.TensorProto.FLOAT, ['n']))
    found = in_half(model)
    casts = [node.output[0] for node in found.graph.node if node.op_type == 'Cast']
    assert casts.count('x2') <= 1
    onnx.checker.check_model(found, full_check=True)
    assert run(found, images()[0]).shape == (1, 4, 16, 16)


def test_what_a_branch_reads_is_there_in_float32() -> None:
    model = network()
    floats = onnx.TensorProto.FLOAT
    branches = {
        f'{name}_branch': onnx.helper.make_graph(
            [onnx.helper.make_node(kind, ['x3'], [name])],
            name,
            [],
            [onnx.helper.make_tensor_value_info(name, floats, None)],
        )
        for name, kind in (('then', 'Neg'), ('else', 'Abs'))
    }
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), 'yes'))
    model.graph.node.append(onnx.helper.make_node('If', ['yes'], ['chosen'], name='if', **branches))
    shape = ['B', 16, 'H', 'W']
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info('chosen', floats, shape))
    want, got = (run(x, images()[0]) for x in (model, in_half(model)))
    assert want.min() < 0
    assert 0 < np.abs(got - want).max() < 5e-3 * np.abs(want).max()
