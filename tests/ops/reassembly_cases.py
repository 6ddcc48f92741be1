"""Content-aware reassembly: cases to try it on, its definition pixel by pixel, and the comparison of the two."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops import reassemble_down, reassemble_up

UP, DOWN = (1, 2), (2, 1)  # stride, scale
CASES = [  # k, (stride, scale), groups, (H, W)
    (5, UP, 1, (5, 7)),
    (5, DOWN, 1, (5, 7)),
    (3, UP, 2, (4, 3)),
    (3, DOWN, 2, (6, 5)),
    (1, UP, 1, (2, 3)),
    (1, DOWN, 2, (3, 4)),
    (3, (1, 3), 1, (3, 2)),
    (5, (3, 1), 2, (7, 8)),
    (3, (1, 1), 1, (3, 4)),
    (5, UP, 1, (1, 1)),
    (5, DOWN, 1, (1, 1)),
    (7, (4, 1), 1, (2, 9)),
]
LAYOUTS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}


def inputs(k, steps, groups, size, *, channels=4, batch=2, dtype=torch.float64, device='cpu') -> tuple[Tensor, Tensor]:
    """Random x and kernels that need gradients."""
    stride, scale = steps
    grid = (-(-n // stride) for n in size)
    x = torch.randn(batch, channels, *size).to(device, dtype)
    kernels = torch.randn(batch, groups * k**2 * scale**2, *grid).to(device, dtype)
    return x.requires_grad_(), kernels.requires_grad_()


def reassemble(x, kernels, steps, groups, backend=None) -> Tensor:
    stride, scale = steps
    if stride == 1:
        return reassemble_up(x, kernels, scale=scale, groups=groups, backend=backend)
    return reassemble_down(x, kernels, stride=stride, groups=groups, backend=backend)


def naive(x, kernels, k, steps, groups) -> Tensor:
    """The definition, in float64, differentiable."""
    (stride, scale), (h, w) = steps, kernels.shape[2:]
    width = x.shape[1] // groups
    padded = F.pad(x.double(), (k // 2,) * 4)
    kernels = kernels.double().view(-1, groups, k, k, scale, scale, h, w)
    rows = []
    for bottom in range(scale * h):
        pixels = []
        for right in range(scale * w):
            (y, i), (x_, j) = divmod(bottom, scale), divmod(right, scale)
            patch = padded[:, :, stride * y : stride * y + k, stride * x_ : stride * x_ + k]
            weights = kernels[..., i, j, y, x_].repeat_interleave(width, 1)
            pixels.append((patch * weights).sum((2, 3)))
        rows.append(torch.stack(pixels, 2))
    return torch.stack(rows, 2)


def agrees(x, kernels, k, steps, groups, backend=None, **tolerance) -> None:
    """Output and both gradients equal the definition's."""
    out, want = reassemble(x, kernels, steps, groups, backend), naive(x, kernels, k, steps, groups)
    assert out.dtype == x.dtype
    torch.testing.assert_close(out.double(), want, **tolerance)
    grad = torch.randn_like(out)
    grads = torch.autograd.grad(out, (x, kernels), grad)
    for ours, theirs, of in zip(
        grads, torch.autograd.grad(want, (x, kernels), grad.double()), (x, kernels), strict=True
    ):
        assert ours.dtype == of.dtype
        torch.testing.assert_close(ours, theirs, **tolerance)
