"""Forms of modules that the runtimes take, beside those of PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmagg.export.onnx_export import quiet
from mmagg.export.plain_modules import halved


@pytest.mark.parametrize('size', [(1, 1), (2, 1), (3, 4), (5, 7), (8, 6)])
def test_halves_are_those_of_a_pooling_of_odd_sizes(size):
    x = torch.randn(2, 3, *size) - 5  # zeros would be greater
    assert torch.equal(halved(x), F.max_pool2d(x, 2, ceil_mode=True))


def test_openvino_halves_a_map_of_one_pixel(tmp_path):
    """As an image that is resized to less than 32 pixels has it."""
    openvino = pytest.importorskip('openvino', reason="pip install 'mmagg[openvino]'")
    pytest.importorskip('onnxscript', reason="pip install 'mmagg[onnx]'")

    class Halved(torch.nn.Module):
        def forward(self, x):
            return halved(x)

    path = tmp_path / 'halved.onnx'
    sides = {2: torch.export.Dim('h', min=1, max=99), 3: torch.export.Dim('w', min=1, max=99)}
    with quiet():
        program = torch.onnx.export(Halved(), (torch.zeros(1, 3, 6, 9),), dynamo=True, dynamic_shapes=(sides,))
    program.save(path)
    model = openvino.Core().compile_model(path, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    for size in ((1, 1), (1, 4), (5, 2)):
        x = np.random.default_rng(0).normal(size=(1, 3, *size)).astype(np.float32)
        np.testing.assert_array_equal(model(x)[0], halved(torch.from_numpy(x)).numpy())
