"""The shape of a small conv net whose weights are those of an instance, and the inputs that fit it.

Shape shorthand: N instances, P dynamic parameters of each, C input channels, c channels between layers, K gathered maps
of each instance, U maps to gather from, k kernel side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

INTEGERS = (torch.int64, torch.int32)  # as torch takes them


@dataclass(frozen=True)
class DynamicConvSpec:
    """Shape of a dynamic conv net with one output: k x k convolutions with bias and zero padding, ReLU between them.

    Attributes:
        in_channels: C.
        channels: c.
        num_layers: number of convolutions.
        kernel_size: k, odd.
    """

    in_channels: int
    channels: int = 4
    num_layers: int = 3
    kernel_size: int = 3

    def __post_init__(self) -> None:
        numbers = self.in_channels, self.channels, self.num_layers, self.kernel_size
        if min(numbers) < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f'{self}: at least one channel and layer, and an odd kernel size are needed')

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of every layer."""
        widths = [self.in_channels, *[self.channels] * (self.num_layers - 1), 1]
        return list(zip(widths[1:], widths[:-1], strict=True))

    @property
    def num_params(self) -> int:
        """P: weights and biases of all layers."""
        return sum(o * (i * self.kernel_size**2 + 1) for o, i in self.layers)

    def split(self, params: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Parameters -> weights and biases.

        Args:
            params: (N, P), per layer its weights, (outputs, inputs, k, k) row-major, then its biases.

        Returns:
            per layer (N, outputs, inputs, k, k) and (N, outputs).
        """
        k = self.kernel_size
        sizes = [size for o, i in self.layers for size in (o * i * k * k, o)]
        parts = params.split(sizes, dim=1)
        return [
            (weight.reshape(-1, o, i, k, k), bias)
            for (o, i), weight, bias in zip(self.layers, parts[::2], parts[1::2], strict=True)
        ]

    def check(self, maps: Tensor, index: Tensor, shared: Tensor, params: Tensor) -> None:
        """Refuse inputs of `dynamic_conv_of_gathered` that do not fit the net or each other.

        Raises:
            ValueError: shapes that do not fit.
            TypeError: indices that are no integers.
            IndexError: an index outside [0, U).
        """
        if [maps.dim(), index.dim(), shared.dim(), params.dim()] != [3, 2, 3, 2]:
            shapes = ', '.join(str(tuple(x.shape)) for x in (maps, index, shared, params))
            raise ValueError(f'maps, index, shared and params of shapes {shapes}; they have 3, 2, 3 and 2 dimensions')
        (n, k), wanted = index.shape, (len(index), self.num_params)
        if self.in_channels != k + len(shared):
            raise ValueError(f'{k} gathered and {len(shared)} shared maps, but {self}')
        if tuple(params.shape) != wanted:
            raise ValueError(f'params {tuple(params.shape)}, but {n} instances of {self} have {wanted}')
        if 0 in shared.shape[1:] or (k and 0 in maps.shape[1:]):
            raise ValueError(f'maps of {tuple(maps.shape[1:])} and {tuple(shared.shape[1:])} pixels')
        if index.dtype not in INTEGERS:
            raise TypeError(f'indices are {index.dtype}, not integers')
        low, high = (int(end) for end in index.aminmax()) if index.numel() else (0, -1)
        if low < 0 or high >= len(maps):
            raise IndexError(f'indices from {low} to {high} into {len(maps)} maps')
