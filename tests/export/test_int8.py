"""Quantisation of a small network: which weights become int8, and what else of the file stays."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from named_network import MODULES, images, network, onnx, run

from mmagg.export.int8 import in_int8, module_of, quantised


def feeds() -> list[dict[str, np.ndarray]]:
    return [{'image': image, 'no_input': image} for image in images()]


def weight_types(model: 'onnx.ModelProto') -> dict[str, str]:
    """The type of the weight behind each convolution, by the name of its node."""
    made = {name: node for node in model.graph.node for name in node.output}
    kinds = {x.name: onnx.TensorProto.DataType.Name(x.data_type) for x in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    return {x.name: kinds[made[x.input[1]].input[0] if x.input[1] in made else x.input[1]] for x in convs}


def test_a_module_is_the_innermost_that_the_exporter_names() -> None:
    convs = [node for node in network().graph.node if node.op_type == 'Conv']
    assert [module_of(node) for node in convs] == list(MODULES)
    assert module_of(onnx.helper.make_node('MatMul', ['a', 'b'], ['c'])) == ''


def test_first_and_last_layers_stay_in_float() -> None:
    model = network()
    assert [node.name for node in model.graph.node if in_int8(node)] == ['conv1', 'conv2']
    before = model.SerializeToString()
    found = quantised(model, feeds())
    assert weight_types(found) == {'conv0': 'FLOAT', 'conv1': 'INT8', 'conv2': 'INT8', 'conv3': 'FLOAT'}
    assert model.SerializeToString() == before
    onnx.checker.check_model(found, full_check=True)


def test_results_are_near_and_the_file_is_still_ours() -> None:
    model = network()
    found = quantised(model, iter(feeds()))
    want, got = (run(x, images()[1]) for x in (model, found))
    assert got.shape == want.shape
    error = np.abs(got - want).max() / np.abs(want).max()
    assert 0 < error < 0.03
    assert found.producer_name == 'mmagg'
    assert {x.key: x.value for x in found.metadata_props} == {'mmagg': '{}'}


def test_each_channel_has_a_scale_of_its_own() -> None:
    model = network()
    weight = next(x for x in model.graph.initializer if x.name == 'model.backbone.layer.weight')
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] *= 1000  # with one scale for all, the others would be zeros
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    scales = [
        onnx.numpy_helper.to_array(x)
        for x in quantised(model, feeds()).graph.initializer
        if 'layer.weight' in x.name and x.name.endswith('_scale')
    ]
    assert scales[0].shape == (16,)
    assert scales[0][0] > 100 * scales[0][1:].max()


def test_ranges_are_those_of_all_images() -> None:
    model, (dark, *_) = network(), images()
    narrow = run(quantised(model, [{'image': dark // 16}]), dark)
    wide = run(quantised(model, [{'image': dark // 16}, {'image': dark}]), dark)
    want = run(model, dark)
    assert np.abs(wide - want).max() < 0.1 * np.abs(narrow - want).max()


def test_nothing_is_left_of_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    quantised(network(), feeds())
    assert list(tmp_path.iterdir()) == []

    def broken() -> 'object':
        yield feeds()[0]
        raise ValueError('no image')

    with pytest.raises(ValueError, match='no image'):
        quantised(network(), broken())
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_modules_have_no_names_is_refused() -> None:
    model = network()
    for node in model.graph.node:
        del node.metadata_props[:]
    with pytest.raises(ValueError, match='no node'):
        quantised(model, feeds())


def test_a_convolution_with_computed_weights_stays_in_float() -> None:
    model = network()
    conv = next(node for node in model.graph.node if node.name == 'conv2')
    computed = onnx.helper.make_node('Abs', [conv.input[1]], ['kernels'], name='abs')
    conv.input[1] = 'kernels'
    model.graph.node.insert(0, computed)
    found = quantised(model, feeds())
    assert next(node for node in found.graph.node if node.name == 'conv2').input[1] == 'kernels'
