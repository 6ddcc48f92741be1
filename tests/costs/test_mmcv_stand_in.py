"""What stands in for mmcv's compiled operators has the same names, and says what it lacks."""

import sys
from types import ModuleType

import pytest
import torch
from mmcv.ops import get_compiling_cuda_version, nms
from mmcv.utils.ext_loader import load_ext
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from mmagg.costs.mmcv_stand_in import stand_in, use_where_absent


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in, with mmcv's NMS in torchvision's place."""
    torchvision = ModuleType('torchvision.ops')
    torchvision.nms = lambda boxes, scores, threshold: nms(boxes, scores, threshold)[1]
    monkeypatch.setitem(sys.modules, 'torchvision', ModuleType('torchvision'))
    monkeypatch.setitem(sys.modules, 'torchvision.ops', torchvision)
    module = stand_in()
    monkeypatch.setitem(sys.modules, 'mmcv._ext', module)
    return module


def test_mmcvs_own_are_taken_where_they_run() -> None:
    assert not use_where_absent('cpu')


def test_mmcv_finds_all_operators_that_it_asks_for(operators: ModuleType) -> None:
    assert load_ext('_ext', ['nms', 'modulated_deform_conv_forward']) is operators
    with pytest.raises(RuntimeError, match='compile mmcv with CUDA'):
        operators.modulated_deform_conv_forward()
    assert operators.get_compiling_cuda_version() == 'not available'
    assert isinstance(get_compiling_cuda_version(), str)


def test_nms(operators: ModuleType) -> None:
    corner = torch.rand(50, 2) * 20
    boxes, scores = torch.cat([corner, corner + 5 + torch.rand(50, 2) * 10], 1), torch.rand(50)
    assert torch.equal(operators.nms(boxes, scores, iou_threshold=0.5, offset=0), nms(boxes, scores, 0.5)[1])
    with pytest.raises(RuntimeError, match='one pixel more'):
        operators.nms(boxes, scores, iou_threshold=0.5, offset=1)


def test_focal_loss(operators: ModuleType) -> None:
    logits, labels = torch.randn(30, 4, requires_grad=True), torch.randint(0, 5, (30,))
    own = torch.nn.functional.one_hot(labels, 5)[:, :4]
    want = py_sigmoid_focal_loss(logits, own, reduction='none')
    out, gradient = torch.empty(30, 4), torch.empty(30, 4)
    operators.sigmoid_focal_loss_forward(logits.detach(), labels, None, out, gamma=2.0, alpha=0.25)
    operators.sigmoid_focal_loss_backward(logits.detach(), labels, None, gradient, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(out, want.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(want.sum(), logits)[0])
