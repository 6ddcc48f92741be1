"""RoIPool against a naive loop in float64 and the golden case."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import roi_pool


def rounded(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def naive(x: torch.Tensor, rois: torch.Tensor, size: int, scale: float) -> torch.Tensor:
    """The definition, bin by bin, with the bins' ends in float32 as in the original."""
    pooled = []
    for image, *corners in rois.tolist():
        x1, y1, x2, y2 = (rounded(corner * scale) for corner in corners)
        bin_w, bin_h = (np.float32(max(extent + 1, 1)) / np.float32(size) for extent in (x2 - x1, y2 - y1))
        for i in range(size):
            top, bottom = (int(end) + y1 for end in (np.floor(i * bin_h), np.ceil((i + 1) * bin_h)))
            for j in range(size):
                left, right = (int(end) + x1 for end in (np.floor(j * bin_w), np.ceil((j + 1) * bin_w)))
                cells = x[int(image), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)].flatten(1)
                pooled.append(cells.max(1).values if cells.numel() else x.new_zeros(len(cells)))
    return torch.stack(pooled).view(len(rois), size, size, -1).permute(0, 3, 1, 2)


def random_rois(num: int, num_images: int, extent: float) -> torch.Tensor:
    """Boxes inside, across the border, outside, inverted, and up to four times as large as the image."""
    corners = torch.rand(num, 2) * 2 * extent - 0.5 * extent
    sizes = extent * 2 ** (torch.rand(num, 2) * 7 - 5) - 0.05 * extent
    return torch.cat([torch.randint(num_images, (num, 1)), corners, corners + sizes], 1)


CASES = [
    # (B, C, H, W), size, scale
    ((2, 3, 11, 17), 4, 0.25),
    ((2, 3, 11, 17), 16, 0.25),
    ((1, 2, 1, 9), 2, 0.5),
    ((3, 1, 23, 8), 1, 0.125),
    ((2, 5, 16, 16), 8, 1.0),
]


@pytest.mark.parametrize(('shape', 'size', 'scale'), CASES)
@pytest.mark.parametrize('byte_budget', [1, 2**26])
def test_equals_the_naive_loop(shape: tuple[int, ...], size: int, scale: float, byte_budget: int) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    rois = random_rois(30, shape[0], max(shape[2:]) / scale)
    want = naive(x, rois, size, scale)
    got = roi_pool(x, rois, size=size, scale=scale, byte_budget=byte_budget)
    assert (want == 0).any()
    assert torch.equal(got, want)
    upstream = torch.randn_like(want)
    (want_grad,) = torch.autograd.grad(want, x, upstream)
    (got_grad,) = torch.autograd.grad(got, x, upstream)
    torch.testing.assert_close(got_grad, want_grad, rtol=1e-12, atol=1e-12)


def test_golden(shared) -> None:
    """Forward, and backward through BlendMask's loss."""
    case = torch.load(shared / 'golden/blendmask/blender_28_4_7_roipool.pt', weights_only=True)
    rois = torch.cat([case['gt_img'][:, None], case['gt_boxes']], 1)
    bases = case['bases'].requires_grad_()
    pooled = roi_pool(bases, rois, size=28, scale=case['scale'].item())
    torch.testing.assert_close(pooled, case['rois'], rtol=0, atol=1e-6)

    attention = F.interpolate(case['attn'].view(-1, 4, 7, 7), (28, 28), mode='bilinear').softmax(1)
    logits = (pooled[case['gt_inds']] * attention).sum(1).flatten(1)
    target = np.unpackbits(case['target_bits'].numpy(), axis=-1)[case['gt_inds'], :, :28].reshape(logits.shape)
    losses = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(target).float(), reduction='none')
    loss = (losses.mean(1) * case['ctr']).sum() / case['loss_denorm']
    torch.testing.assert_close(loss, case['loss'])
    loss.backward()
    scale = case['grad_bases'].abs().max()
    torch.testing.assert_close(bases.grad / scale, case['grad_bases'] / scale, rtol=0, atol=1e-5)


def test_corners_are_rounded_away_from_zero() -> None:
    x = torch.arange(1.0, 9).view(1, 1, 1, 8)
    # 2.5 is cell 3 (not 2) and 4.49 cell 4; half below an even number is tried with 0.5, on the other side with -0.5.
    rois = torch.tensor([[0, 2.5, 0, 4.49, 0], [0, -0.5, 0, 0.5, 0], [0, 0.49999997, 0, 0.49999997, 0]])
    assert roi_pool(x, rois, size=1, scale=1.0).flatten().tolist() == [5, 2, 1]
    assert roi_pool(-x, rois, size=1, scale=1.0).flatten().tolist() == [-4, -1, -1]


def test_the_first_of_equal_maxima_has_the_gradient() -> None:
    x = torch.zeros(1, 1, 4, 6)
    x[0, 0, 1, 4] = x[0, 0, 2, 1] = x[0, 0, 2, 3] = 1
    x.requires_grad_()
    roi_pool(x, torch.tensor([[0.0, 0, 0, 5, 3]]), size=1, scale=1.0).backward()
    assert x.grad.nonzero().tolist() == [[0, 0, 1, 4]]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    x, rois = torch.randn(2, 3, 9, 10).to(dtype), random_rois(50, 2, 20)
    with torch.autocast('cpu', torch.bfloat16):
        pooled = roi_pool(x, rois, size=4, scale=0.5)
    assert pooled.dtype == dtype
    assert torch.equal(pooled.double(), naive(x.double(), rois, 4, 0.5))


def test_gradients_add_up_in_float32() -> None:
    x = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    roi_pool(x, torch.zeros(75, 5), size=2, scale=1.0).sum().backward()
    assert x.grad.item() == 300  # with bfloat16, 256 + 1 = 256


def test_nothing_to_pool() -> None:
    x = torch.randn(2, 3, 9, 10, requires_grad=True)
    pooled = roi_pool(x, torch.zeros(0, 5), size=4, scale=0.5)
    assert pooled.shape == (0, 3, 4, 4)
    pooled.sum().backward()
    assert (x.grad == 0).all()
    assert roi_pool(x[:0], torch.zeros(0, 5), size=4, scale=0.5).shape == (0, 3, 4, 4)


@pytest.mark.gpu
def test_on_cuda_without_waiting_for_it() -> None:
    x, rois = torch.randn(2, 3, 9, 10), random_rois(50, 2, 20)
    want = roi_pool(x, rois, size=4, scale=0.5)
    x, rois = x.cuda().requires_grad_(), rois.cuda()
    torch.cuda.set_sync_debug_mode('error')
    try:
        pooled = roi_pool(x, rois, size=4, scale=0.5)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    pooled.sum().backward()
    assert torch.equal(pooled.cpu(), want)
