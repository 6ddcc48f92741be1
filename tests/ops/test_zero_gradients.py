"""Gradients of zero beside those that are there."""

import torch

from mmagg.ops.zero_gradients import ZeroGradients


def test_gradients_are_as_of_the_plain_form() -> None:
    used, unused = torch.randn(3, 2, requires_grad=True), torch.randn(4, dtype=torch.float64, requires_grad=True)
    total = (used**2).sum()
    plain = total + 0 * (used.sum() + unused.sum())
    value = ZeroGradients.apply(total, used, unused)
    assert value == total
    gradients = (torch.autograd.grad(x, (used, unused), retain_graph=True) for x in (value, plain))
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    value.backward()
    assert unused.grad.is_contiguous()
