"""The lowest frequencies of the discrete cosine transform, in JPEG's order."""

import torch
from torch import Tensor


def zigzag(size: int, number: int) -> Tensor:
    """The first frequencies of a size x size spectrum in zigzag order, (number, 2) rows and columns."""
    places = [(v, u) for v in range(size) for u in range(size)]
    # One diagonal after the other; odd ones run down, even ones up.
    places.sort(key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]))
    return torch.tensor(places[:number])


def cosine_basis(size: int, number: int) -> Tensor:
    """The basis images of the orthonormal DCT-II in zigzag order, (number, size²) float64."""
    steps = torch.arange(size, dtype=torch.double)
    waves = torch.cos(torch.pi / size * (steps + 0.5) * steps[:, None]) * (2 / size) ** 0.5
    waves[0] *= 0.5**0.5
    rows, columns = zigzag(size, number).t()
    return torch.einsum('dy,dx->dyx', waves[rows], waves[columns]).flatten(1)
