"""The order of the cosine basis, against JPEG's table."""

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


def test_the_basis_is_orthonormal() -> None:
    basis = cosine_basis(7, 49)
    torch.testing.assert_close(basis @ basis.t(), torch.eye(49, dtype=torch.double))
