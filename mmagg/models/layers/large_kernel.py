"""Separable convolutions with a large kernel (Large Kernel Matters, Fig. 2B; "LK" in MEInst, Table 5).

Shape shorthand: B images, C inputs, D outputs, (h, w) map size, k kernel side.
"""

from torch import Tensor, nn


class LargeKernelConv(nn.Module):
    """k x 1 then 1 x k, plus 1 x k then k x 1: the receptive field of k x k with few weights.

    Args:
        in_channels: C.
        out_channels: D, also between the two convolutions of a branch.
        kernel_size: k, odd, so that the size of the map stays.
        init_std: standard deviation of the initial weights; biases start at 0.

    Raises:
        ValueError: if `kernel_size` is even.
    """

    def __init__(self, *, in_channels: int, out_channels: int, kernel_size: int = 9, init_std: float = 0.01) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'LargeKernelConv: kernel_size is {kernel_size}; it must be odd')
        tall, wide = (kernel_size, 1), (1, kernel_size)
        self.tall_wide, self.wide_tall = (
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, first, padding='same'),
                nn.Conv2d(out_channels, out_channels, second, padding='same'),
            )
            for first, second in ((tall, wide), (wide, tall))
        )
        self.init_std = init_std

    def init_weights(self) -> None:
        """N(0, init_std) weights, biases of zero."""
        for conv in (*self.tall_wide, *self.wide_tall):
            nn.init.normal_(conv.weight, std=self.init_std)
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, D, h, w)."""
        return self.tall_wide(x) + self.wide_tall(x)
