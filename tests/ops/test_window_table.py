"""Windows of their own sizes on the host: the table that kernels read, and chunks."""

import torch

from mmagg.ops.window_table import COLUMNS, TILE, Places

PLACES = Places(
    torch.arange(4), torch.tensor([3, 0, 7, 2]), torch.tensor([1, 0, 5, 4]),
    torch.tensor([2, 0, TILE, 1]), torch.tensor([5, 0, 2, TILE]),
)  # fmt: skip


def test_table_of_packed_windows() -> None:
    table, tiles = PLACES.table(None, torch.device('cpu'))
    assert table.shape == (4, COLUMNS)
    index, top, left, height, width, start, step, lines, before = table.t().tolist()
    assert (index, top, left) == ([0, 1, 2, 3], [1, 0, 5, 4], [3, 0, 7, 2])
    assert (height, width, step) == ([2, 0, TILE, 1], [5, 0, 2, TILE], [5, 0, 2, TILE])
    assert start == [0, 10, 10, 10 + 2 * TILE]
    assert lines == [0, 15, 15, 15 + 2 * (TILE + 1)]  # with a row more, but of no empty window
    assert before == [0, 1, 1, 4]  # 15 pixels, none, 2 · TILE + 2, 2 · TILE
    assert tiles == 6


def test_table_of_bitmaps() -> None:
    table, _ = PLACES.table((2000, 3000), torch.device('cpu'))
    assert table[:, 5].tolist() == [3003, 6_000_000, 2 * 6_000_000 + 5 * 3000 + 7, 3 * 6_000_000 + 4 * 3000 + 2]
    assert table[:, 6].tolist() == [3000] * 4


def test_chunks() -> None:
    assert [part.indices.tolist() for part in PLACES.split(10)] == [[0, 1], [2], [3]]
    assert [part.indices.tolist() for part in PLACES.split(1)] == [[0], [1], [2], [3]]
    (whole,) = PLACES.split(10**6)
    assert all(torch.equal(a, b) for a, b in zip(whole, PLACES, strict=True))
    assert Places(*(x[:0] for x in PLACES)).split(1) == []
