"""The layout of a model's weights in memory."""

import torch
from torch import nn


def laid_out(model: nn.Module) -> nn.Module:
    """Lay out a model's weights for its device, in place: on the CPU, as channels_last.

    Convolutions then take and give maps of that layout, which saves reordering them. Models with operators of mmcv are
    left alone: its deformable convolution reads such weights as contiguous ones, with wrong results.
    """
    on_cpu = all(parameter.device.type == 'cpu' for parameter in model.parameters())
    of_mmcv = any(type(module).__module__.startswith('mmcv.ops') for module in model.modules())
    # torch's annotations of `Module.to` do not know `memory_format`.
    return model.to(memory_format=torch.channels_last) if on_cpu and not of_mmcv else model  # type: ignore[call-overload]
