"""Windows of masks against writing one row after the other."""

import pytest
import torch

from mmagg.ops import MaskWindows, write_windows
from mmagg.ops.mask_windows import places_of_rows, write_pixels, write_rows, writer


def test_places_of_rows_count_within_their_windows() -> None:
    top, height = torch.tensor([4, 0, 7]), torch.tensor([2, 3, 1])
    which, y = places_of_rows(top, height, 6)
    want = [(i, t + row) for i, (t, h) in enumerate(zip([4, 0, 7], [2, 3, 1], strict=True)) for row in range(h)]
    assert list(zip(which.tolist(), y.tolist(), strict=True)) == want


def test_windows_lie_where_they_say() -> None:
    index, left, top, height = (torch.tensor(x) for x in ([3, 0, 4], [5, 0, 2], [1, 0, 6], [2, 4, 1]))
    rows = torch.rand(7, 3) > 0.5
    masks = torch.zeros(5, 7, 8, dtype=torch.bool)
    write_windows(masks, MaskWindows(index, left, top, height, rows))
    want, row = torch.zeros_like(masks), 0
    for i, x, y, h in zip(*(v.tolist() for v in (index, left, top, height)), strict=True):
        for line in range(y, y + h):
            want[i, line, x : x + 3] = rows[row]
            row += 1
    assert rows.any()
    assert torch.equal(masks, want)


def test_no_windows() -> None:
    none, masks = torch.zeros(0, dtype=torch.long), torch.ones(2, 3, 4, dtype=torch.bool)
    write_windows(masks, MaskWindows(none, none, none, none, torch.zeros(0, 2, dtype=torch.bool)))
    assert masks.all()


def test_both_ways_to_write_rows() -> None:
    start, rows = torch.tensor([2, 40, 21]), torch.rand(3, 9) > 0.5
    want = torch.zeros(49, dtype=torch.bool)
    for i, row in zip(start.tolist(), rows, strict=True):
        want[i : i + 9] = row
    for write in (write_rows, write_pixels):
        got = torch.zeros(49, dtype=torch.bool)
        write(got, start, rows)
        assert torch.equal(got, want)


@pytest.mark.parametrize('device, want', [('cpu', write_rows), ('cuda', write_pixels)])
def test_the_way_depends_on_the_device(device: str, want) -> None:
    assert writer(torch.device(device)) is want
