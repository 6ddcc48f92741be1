"""A network of four convolutions, whose modules are named as PyTorch's exporter names them."""

import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='the tests of exported models need the package onnx')
ort = pytest.importorskip('onnxruntime', reason='the tests of exported models need the package onnxruntime')

from mmagg.export.int8 import SCOPES  # noqa: E402

MODULES = (
    'model.backbone.stem.conv',
    'model.backbone.layer',
    'model.mask_head.class_tower.0',
    'model.mask_head.conv_cls',
)
CHANNELS = 3, 8, 16, 16, 4


def network() -> 'onnx.ModelProto':
    """Images (B, 3, H, W) uint8 -> (B, 4, H, W), by convolutions of the modules and ReLU."""
    rng = np.random.default_rng(0)
    nodes = [onnx.helper.make_node('Cast', ['image'], ['x0'], to=onnx.TensorProto.FLOAT, name='cast')]
    weights = []
    for i, (module, before, after) in enumerate(zip(MODULES, CHANNELS, CHANNELS[1:], strict=False)):
        scale = 1 / 255 if i == 0 else 1
        weight = scale * rng.normal(0, (9 * before) ** -0.5, (after, before, 3, 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(weight.astype(np.float32), f'{module}.weight'))
        conv = onnx.helper.make_node('Conv', [f'x{i}', f'{module}.weight'], [f'y{i}'], name=f'conv{i}', pads=[1] * 4)
        entry = conv.metadata_props.add()
        entry.key, entry.value = SCOPES, str(['', *_prefixes(module), 'conv2d'])
        nodes += [conv, onnx.helper.make_node('Relu', [f'y{i}'], [f'x{i + 1}'], name=f'relu{i}')]
    kinds = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    (given, found) = (
        onnx.helper.make_tensor_value_info(name, kind, ['B', channels, 'H', 'W'])
        for name, kind, channels in zip(('image', 'x4'), kinds, (3, 4), strict=True)
    )
    graph = onnx.helper.make_graph(nodes, 'network', [given], [found], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=10)
    model.producer_name = 'mmagg'
    onnx.helper.set_model_props(model, {'mmagg': '{}'})
    return model


def _prefixes(module: str) -> list[str]:
    parts = module.split('.')
    return ['.'.join(parts[: i + 1]) for i in range(1, len(parts))]


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (1, 3, 16, width), dtype=np.uint8) for width in (16, 24, 32)]


def run(model: 'onnx.ModelProto', image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, {'image': image})[0]
