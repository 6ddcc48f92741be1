"""Small conv nets whose weights belong to one instance each (AggMask, Eq. 6; also CondInst's mask heads).

Shape shorthand: N instances, P dynamic parameters of each, C channels, O outputs, K gathered maps of each instance,
U maps to gather from, (H, W) map size, k kernel side.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Instances whose convolutions are done as one dense one. More would waste more multiplications on zeros, fewer would
# leave vector registers empty: 4 instances of 4 channels fill 16 lanes.
BLOCK = 4


@dataclass(frozen=True)
class DynamicConvSpec:
    """Shape of a dynamic conv net: k x k convolutions with bias and zero padding, ReLU between them, none at the end.

    Attributes:
        in_channels: channels of the input.
        channels: channels between the layers.
        num_layers: number of convolutions.
        kernel_size: k, odd.
        out_channels: O.
    """

    in_channels: int
    channels: int = 4
    num_layers: int = 3
    kernel_size: int = 3
    out_channels: int = 1

    def __post_init__(self) -> None:
        if self.num_layers < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f'{self}: at least one layer and an odd kernel size are needed')

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of every layer."""
        widths = [self.in_channels, *[self.channels] * (self.num_layers - 1), self.out_channels]
        return list(zip(widths[1:], widths[:-1], strict=True))

    @property
    def num_params(self) -> int:
        """P: weights and biases of all layers."""
        return sum(o * (i * self.kernel_size**2 + 1) for o, i in self.layers)

    def split(self, params: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Parameters as weights and biases.

        Args:
            params: (N, P), per layer its weights, (O, C, k, k) row-major, then its biases.

        Returns:
            per layer (N, O, C, k, k) and (N, O).
        """
        k = self.kernel_size
        sizes = [size for o, i in self.layers for size in (o * i * k * k, o)]
        parts = params.split(sizes, dim=1)
        return [
            (weight.reshape(-1, o, i, k, k), bias)
            for (o, i), weight, bias in zip(self.layers, parts[::2], parts[1::2], strict=True)
        ]


def dynamic_conv(x: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """A conv net per instance on an input per instance: grouped convolutions.

    Args:
        x: (N, C, H, W).
        params: (N, P), laid out as `DynamicConvSpec.split` says.
        spec: shape of the net.

    Returns:
        (N, O, H, W).
    """
    n, _, h, w = x.shape
    x = x.reshape(1, -1, h, w)
    for i, (weight, bias) in enumerate(spec.split(params)):
        x = F.relu(x) if i else x
        x = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), padding=spec.kernel_size // 2, groups=n)
    return x.view(n, spec.out_channels, h, w)


def dynamic_conv_of_gathered(
    maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec
) -> Tensor:
    """`dynamic_conv` of stacks that are never made: each instance's input is some of the maps, then the shared ones.

    A few instances at a time become one dense convolution of the maps that any of them needs: the gathering moves
    into the weights of the first layer, those of the others are block-diagonal. The shared maps are read once per block
    instead of being copied for each instance. Equal to

        dynamic_conv(torch.cat([maps[index], shared.expand(N, -1, -1, -1)], 1), params, spec)

    Args:
        maps: (U, H, W).
        index: (N, K) long, maps of each instance; may repeat.
        shared: (C, H, W) input of all instances.
        params: (N, P).
        spec: shape of the net, with K + C input channels.

    Returns:
        (N, O, H, W).
    """
    n, k = index.shape
    if spec.in_channels != k + len(shared):
        raise ValueError(f'{k} gathered and {len(shared)} shared maps, but {spec}')
    if n == 0:
        return maps.new_zeros(0, spec.out_channels, *maps.shape[1:])
    blocks = []
    for part in torch.arange(n, device=index.device).split(BLOCK):
        used, place = index[part].unique(return_inverse=True)
        x = torch.cat([maps[used], shared])[None].contiguous(memory_format=torch.channels_last)
        for i, (weight, bias) in enumerate(spec.split(params[part])):
            dense = block_diagonal(weight) if i else scatter_inputs(weight, place, len(used))
            x = F.relu(x, inplace=True) if i else x
            x = F.conv2d(x, dense, bias.flatten(), padding=spec.kernel_size // 2)
        blocks.append(x.view(len(part), spec.out_channels, *x.shape[-2:]))
    return torch.cat(blocks)


def block_diagonal(weight: Tensor) -> Tensor:
    """(N, O, C, k, k) -> (N * O, N * C, k, k): each instance sees its own channels only."""
    n, o, c, k, _ = weight.shape
    dense = weight.new_zeros(n, o, n, c, k, k)
    own = torch.arange(n, device=weight.device)
    dense[own, :, own] = weight
    return dense.view(n * o, n * c, k, k)


def scatter_inputs(weight: Tensor, place: Tensor, used: int) -> Tensor:
    """First-layer weights for gathered inputs as weights for what they were gathered from.

    Args:
        weight: (N, O, K + C, k, k).
        place: (N, K) long in [0, used).
        used: number of maps that come before the C shared ones.

    Returns:
        (N * O, used + C, k, k). A map that an instance gathers twice has the sum of both weights.
    """
    n, o, _, k, _ = weight.shape
    gathered, shared = weight.flatten(3).split([place.shape[1], weight.shape[2] - place.shape[1]], dim=2)
    dense = weight.new_zeros(n, o, used, k * k)
    dense = dense.scatter_add(2, place[:, None, :, None].expand_as(gathered), gathered)
    return torch.cat([dense, shared], dim=2).view(n * o, -1, k, k)
