"""Coordinates and the NMS of cells, cell by cell."""

from pathlib import Path

import pytest
import torch

from mmagg.ops import append_coordinates, points_nms


@pytest.mark.parametrize('axes', ['xy', 'x', 'y'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_coordinates_run_from_minus_one_to_one(axes: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 5, 9).to(dtype)
    out = append_coordinates(x, axes)
    assert out.dtype == dtype
    assert torch.equal(out[:, :3], x)
    assert out.shape[1] == 3 + len(axes)
    for image in out:
        for channel, axis in zip(image[3:], axes, strict=True):
            for i in range(5):
                for j in range(9):
                    assert channel[i, j] == (-1 + j / 4 if axis == 'x' else -1 + i / 2)


def test_coordinates_of_little() -> None:
    assert append_coordinates(torch.zeros(1, 1, 1, 1)).flatten().tolist() == [0, -1, -1]  # one pixel is the first
    assert append_coordinates(torch.zeros(0, 2, 3, 4)).shape == (0, 4, 3, 4)


def naive_nms(scores: torch.Tensor) -> torch.Tensor:
    kept = scores.clone()
    for i in range(scores.shape[2]):
        for j in range(scores.shape[3]):
            window = scores[:, :, max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1]
            kept[:, :, i, j] *= scores[:, :, i, j] == window.amax((2, 3))
    return kept


@pytest.mark.parametrize('side', [1, 2, 7])
def test_a_cell_stays_that_is_the_best_of_those_up_and_left(side: int) -> None:
    scores = (10 * torch.rand(2, 3, side, side)).round() / 10  # with ties, which stay
    assert torch.equal(points_nms(scores), naive_nms(scores))


def test_points_nms_golden(shared: Path) -> None:
    golden = torch.load(shared / 'golden/aggmask/nms.pt', weights_only=True)
    assert torch.equal(points_nms(golden['heat']), golden['points_nms'])
