"""The parameters of each cell's aggregation net: predicted (AggMask, Eq. 5) or the same for all (AggMask, Eq. 4).

Shape shorthand: B images, N cells asked for, P parameters, C channels, S side of the class grid, k kernel side.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks, weight_for_windows
from mmagg.ops import append_coordinates, conv_at

FEATURES = ('class_tower', 'own_tower', 'mask_tower')


def itself(x: Tensor) -> Tensor:
    """x -> x."""
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {'none': itself, 'tanh': torch.tanh}


class CellParameters(ABC):
    """The aggregation parameters of one level's class cells, computed only where they are asked for."""

    @abstractmethod
    def at(self, image: int, cells: Tensor) -> Tensor:
        """(N, P) parameters of (N,) cells of an image, see `LocalMasks.at`."""


class PredictedParameters(CellParameters):
    """A convolution of lazy (B, C, S, S) features; `weight` is the convolution's, see `weight_for_windows`."""

    def __init__(self, features: Lazy, conv: nn.Conv2d, weight: Lazy, activation: str) -> None:
        self.features, self.conv, self.weight, self.activation = features, conv, weight, ACTIVATIONS[activation]

    def at(self, image: int, cells: Tensor) -> Tensor:
        features = self.features.images[image][None]
        return self.activation(conv_at(features, cells, self.weight.value, self.conv.bias))


class SharedParameters(CellParameters):
    """The same (P,) for every cell."""

    def __init__(self, params: Tensor) -> None:
        self.params = params

    def at(self, image: int, cells: Tensor) -> Tensor:
        return self.params.expand(len(cells), -1)


@MODELS.register_module()
class DynamicParameters(BaseModule):
    """Predicts the parameters of every class cell (AggMask, Eq. 5).

    The convolution keeps PyTorch's default initialisation: N(0, 0.01), as in the towers, would shrink the dynamic
    weights to a quarter.

    Args:
        num_params: P.
        in_channels: channels of the pyramid, for an own tower.
        channels: C.
        kernel_size: k of the convolution that predicts them: in the release 3 on SOLO and 1 on SOLOv2.
        activation: in the release 'tanh' on SOLO and 'none' on SOLOv2.
        features: the convolution's input: the outputs of the 'class_tower'; of an 'own_tower' with coordinates (SOLOv2
            in the release); of the 'mask_tower', SOLOv2's kernel tower, if the grids are equal.
        tower: arguments of the own `ConvTower`; None for none.

    Raises:
        ValueError: unknown `features` or `activation`, or an own tower that is missing or not used.
    """

    def __init__(
        self,
        *,
        num_params: int,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        activation: str = 'tanh',
        features: str = 'class_tower',
        tower: dict | None = None,
    ) -> None:
        super().__init__()
        if features not in FEATURES:
            raise ValueError(f'features is {features!r}; parameters are predicted from one of {FEATURES}')
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation is {activation!r}; it must be one of {tuple(ACTIVATIONS)}')
        if (tower is not None) != (features == 'own_tower'):
            raise ValueError(f'tower is for features=own_tower and must be given there; features is {features!r}')
        self.features, self.activation = features, activation
        self.tower: Any = None
        if tower is not None:
            self.tower = ConvTower(in_channels=in_channels + 2, channels=channels, **tower)
        self.conv = nn.Conv2d(channels, num_params, kernel_size, padding=kernel_size // 2)

    def forward(
        self, levels: Sequence[Tensor], class_feats: Sequence[Tensor], masks: Sequence[LocalMasks]
    ) -> list[CellParameters]:
        """Lazy parameters of every level.

        Args:
            levels: the pyramid resized to the head's strides, each (B, in_channels, h, w).
            class_feats: the class tower's outputs, each (B, C, S, S).
            masks: the levels' representations.

        Raises:
            TypeError: the features are the mask tower's, but there is none.
        """
        if self.features == 'class_tower':
            features = [Lazy(partial(itself, x)) for x in class_feats]
        elif self.features == 'own_tower':
            features = [
                Lazy(partial(self.tower_output, x, y.shape[-2:])) for x, y in zip(levels, class_feats, strict=True)
            ]
        else:
            towers = [x.kernel_features for x in masks if x.kernel_features is not None]
            if len(towers) < len(masks):
                raise TypeError("parameters: features 'mask_tower' need a DynamicMaskBranch (SOLOv2)")
            features = [Lazy(partial(checked, x, y.shape[-2:])) for x, y in zip(towers, class_feats, strict=True)]
        weight = weight_for_windows(self.conv)
        return [PredictedParameters(x, self.conv, weight, self.activation) for x in features]

    def tower_output(self, level: Tensor, size: Sequence[int]) -> Tensor:
        """(B, in_channels, h, w) -> (B, C, S, S)."""
        cells = F.interpolate(append_coordinates(level), size=size, mode='bilinear', align_corners=False)
        return self.tower(cells)


def checked(tower: Lazy, size: torch.Size) -> Tensor:
    """The mask tower's features (B, C, S, S); raises ValueError if the class grid has another size."""
    if tower.value.shape[-2:] != size:
        raise ValueError("parameters: features 'mask_tower' need equal grids for classes and masks")
    return tower.value


@MODELS.register_module()
class StaticParameters(BaseModule):
    """Parameters that all cells share: static aggregation (AggMask, Eq. 4 and Table 6).

    They start uniform in ±0.1, about as PyTorch's convolutions with as many inputs do (±0.07 to ±0.17).

    Args:
        num_params: P.
    """

    def __init__(self, *, num_params: int) -> None:
        super().__init__()
        self.params = nn.Parameter(torch.empty(num_params).uniform_(-0.1, 0.1))

    def forward(
        self, levels: Sequence[Tensor], class_feats: Sequence[Tensor], masks: Sequence[LocalMasks]
    ) -> list[CellParameters]:
        """The same for every level; arguments as in `DynamicParameters`."""
        return [SharedParameters(self.params)] * len(class_feats)
