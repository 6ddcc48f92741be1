"""Reassembly in plain PyTorch: blocks, memory, and the one map that holds both ops."""

import pytest
import torch
from reassembly_cases import DOWN, LAYOUTS, UP, agrees, inputs, naive, reassemble

from mmagg.costs.memory import MemoryMeter
from mmagg.ops import reassembly_torch


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('steps', [(2, 2), (3, 2), (2, 3)], ids=str)
def test_stride_and_scale_together(steps: tuple[int, int], layout: str) -> None:
    """The definition holds for any stride and scale at once, and so do its gradients; no operator asks for both."""
    x, kernels = inputs(3, steps, 2, (5, 7))
    want = naive(x, kernels, 3, steps, 2)
    grad = torch.randn_like(want)
    grad_x, grad_kernels = torch.autograd.grad(want, (x, kernels), grad)
    x, kernels = x.detach().contiguous(memory_format=LAYOUTS[layout]), kernels.detach()
    fine = torch.full_like(want, torch.nan).contiguous(memory_format=LAYOUTS[layout])
    reassembly_torch.forward(fine, x, kernels, *steps, 2)
    torch.testing.assert_close(fine, want)
    for backward, out, other, expected in (
        (reassembly_torch.grad_x, torch.full_like(x, torch.nan), kernels, grad_x),
        (reassembly_torch.grad_kernels, torch.full_like(kernels, torch.nan), x, grad_kernels),
    ):
        backward(out, grad, other, *steps, 2)
        torch.testing.assert_close(out, expected)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_blocks_have_every_channel_and_row_once(
    steps: tuple[int, int], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, kernels = (t.detach().contiguous(memory_format=LAYOUTS[layout]) for t in inputs(3, steps, 2, (9, 6), channels=6))
    fine = reassemble(x, kernels, steps, 2)
    # Two of a group's three channels, or two thirds of the rows.
    monkeypatch.setattr(reassembly_torch, 'CPU_BLOCK', 2 * 5 * kernels.shape[2] * kernels.shape[3])
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    work, done = reassembly_torch.Work(x, fine, kernels, *steps, 2), torch.zeros(fine.shape, dtype=torch.long)
    blocks = list(work.blocks())
    for block, terms in blocks:
        assert block.channels.start // 3 == (block.channels.stop - 1) // 3 == block.group
        part = done[block.image, block.channels]
        for term in terms:
            if term.central:  # of each phase the first, over all points
                i, j = term.near
                part[:, i :: steps[1], j :: steps[1]][term.points] += 1
    assert len(blocks) == 2 * 2 * 2
    assert (done == 1).all()


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_blocks_join(steps: tuple[int, int], layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly_torch, 'CPU_BLOCK', 100)
    x, kernels = inputs(5, steps, 2, (9, 6), channels=6)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    agrees(x, kernels, 5, steps, 2)


@pytest.mark.parametrize('steps', [UP, DOWN])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_memory_is_bounded(steps: tuple[int, int], layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results and a block; unfolding would take 25 times what is read."""
    monkeypatch.setattr(reassembly_torch, 'CPU_BLOCK', 2**14)
    x, kernels = inputs(5, steps, 1, (16, 32), channels=128, batch=1, dtype=torch.float32)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    with MemoryMeter() as meter:
        out = reassemble(x, kernels, steps, 1)
        meter.mark('backward')
        torch.autograd.grad(out, (x, kernels), torch.ones_like(out))
    block = 6 * 2**14 * torch.get_num_threads()  # with products
    assert meter.peak(until='backward') <= out.nbytes + block
    assert meter.peak('backward') <= out.nbytes + x.nbytes + 2 * kernels.nbytes + block


def test_small_maps_need_little() -> None:
    """Blocks are no larger than what there is."""
    x, kernels = inputs(5, DOWN, 1, (8, 8), dtype=torch.float32)
    with MemoryMeter() as meter:
        reassemble(x, kernels, DOWN, 1)
    assert meter.peak() <= 4 * x.nbytes
