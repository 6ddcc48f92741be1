"""Lab against scikit-image's."""

import pytest
import torch

from mmagg.ops.lab import rgb_to_lab


def test_it_is_scikit_image_s() -> None:
    color = pytest.importorskip('skimage.color')
    generator = torch.Generator().manual_seed(0)
    colours = torch.randint(0, 256, (2, 3, 40, 50), generator=generator, dtype=torch.uint8)
    colours[0, :, :8] //= 32  # dark ones, where the curves are straight
    want = color.rgb2lab(colours.movedim(1, 3).numpy())
    torch.testing.assert_close(
        rgb_to_lab(colours.float()).movedim(1, 3), torch.from_numpy(want).float(), atol=1e-3, rtol=0
    )


def test_black_white_and_nothing() -> None:
    lab = rgb_to_lab(torch.tensor([0.0, 255, torch.nan]).expand(1, 3, 1, 3))
    torch.testing.assert_close(lab[0, :, 0, :2].T, torch.tensor([[0.0, 0, 0], [100, 0, 0]]), atol=0.02, rtol=0)
    assert lab[..., 2].isnan().all()


def test_half_precision_does_not_enter() -> None:
    colours = torch.rand(1, 3, 6, 6) * 255
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(rgb_to_lab(colours), rgb_to_lab(colours).float())
        within = rgb_to_lab(colours)
    assert torch.equal(within, rgb_to_lab(colours))
