"""The cosine basis against its formula, and its order against JPEG's."""

import math

import pytest
import torch

from mmagg.models.masks.boxed.cosine_basis import cosine_basis, zigzag

# ITU-T T.81, Figure A.6: where each coefficient stands in the sequence.
JPEG = """
0 1 5 6 14 15 27 28
2 4 7 13 16 26 29 42
3 8 12 17 25 30 41 43
9 11 18 24 31 40 44 53
10 19 23 32 39 45 52 54
20 22 33 38 46 51 55 60
21 34 37 47 50 56 59 61
35 36 48 49 57 58 62 63
"""


def test_the_order_is_jpeg_s() -> None:
    table = torch.tensor([int(x) for x in JPEG.split()]).reshape(8, 8)
    rows, columns = zigzag(8, 64).t()
    assert table[rows, columns].tolist() == list(range(64))


@pytest.mark.parametrize('size', [1, 4, 7])
def test_pictures_are_products_of_cosines(size: int) -> None:
    basis = cosine_basis(size, size**2)
    for picture, (v, u) in zip(basis, zigzag(size, size**2).tolist(), strict=True):
        for y in range(size):
            for x in range(size):
                scale = 2 / size * math.prod(0.5**0.5 for frequency in (u, v) if frequency == 0)
                waves = math.cos(math.pi / size * (y + 0.5) * v) * math.cos(math.pi / size * (x + 0.5) * u)
                assert picture[y * size + x].item() == pytest.approx(scale * waves, abs=1e-12)


@pytest.mark.parametrize('size, number', [(7, 49), (7, 10), (5, 1)])
def test_pictures_are_orthonormal_and_few_are_the_first_of_many(size: int, number: int) -> None:
    basis = cosine_basis(size, number)
    torch.testing.assert_close(basis @ basis.t(), torch.eye(number).double())
    assert torch.equal(basis, cosine_basis(size, size**2)[:number])
