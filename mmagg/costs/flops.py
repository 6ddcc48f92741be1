"""Parameters and multiply-adds of a detector, part by part, by two conventions.

paper: the counter of MMDetection v1, which AggMask (Table 4) and A2-FPN (Table 6) used. It hooks modules of a few
types: whatever is called as a function does not count. Lazy heads are run densely for it, as the originals run: all
masks of all cells; A2-FPN's layers as the paper writes them.

modern: the multiply-adds of every convolution and matrix product that is really done, in modules and functions, by
PyTorch's `FlopCounterMode`. The reassembly of A2-FPN is neither.

Only shapes matter, so a model is best counted on PyTorch's meta device: nothing is computed, nothing takes memory.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd
from torch.utils.flop_counter import FlopCounterMode

from mmagg.costs.forward_pass import forward_pass, without_values
from mmagg.costs.plain_a2fpn import plainly
from mmagg.ops.stage import StageMeter

CONVENTIONS = ('paper', 'modern')
OTHER = 'other'  # of no part
PART_OF_MARK = {
    'head': 'mask_head',
    'decode': 'mask_head.decode',
    'aggregation': 'mask_head.decode',
    'context': 'mask_head.aggregator.context',
    'shared': 'mask_head.masks',
    'merging': 'mask_head.masks',
    'coefficients': 'mask_head.coefficients',
}
"""The part that does the work of a stage that a head marks in its code: functions are charged by these marks."""

NOTHING = (nn.Identity, _DropoutNd)  # does nothing when a detector is used
POOLINGS = (_AvgPoolNd, _MaxPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
PER_ELEMENT = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.Upsample)


def _baddbmm_flops(_: torch.Size, a: torch.Size, b: torch.Size, **__: Any) -> int:
    return 2 * a.numel() * b[-1]


IN_PLACE = {torch.ops.aten.baddbmm_: _baddbmm_flops}  # PyTorch has formulas for functions only


@dataclass(frozen=True)
class Cost:
    """The cost of a part."""

    params: int = 0  # without buffers
    trainable: int = 0  # those of them that are trained; the frozen stem and first stage of a ResNet are not
    macs: int = 0  # multiply-adds of one image

    def __add__(self, other: 'Cost') -> 'Cost':
        return Cost(self.params + other.params, self.trainable + other.trainable, self.macs + other.macs)


@dataclass(frozen=True)
class Costs:
    """The costs of a detector."""

    parts: dict[str, Cost]  # by name, see `part_name`, in the detector's order
    uncounted: dict[str, int]  # how often modules ran that the paper convention leaves out, by type
    idle: list[str]  # parts with convolutions or linear layers of which nothing ran: the count is not complete

    @property
    def total(self) -> Cost:
        """All parts together."""
        return sum(self.parts.values(), Cost())


@torch.no_grad()
def count_costs(
    model: nn.Module, shape: tuple[int, int], *, convention: str = 'modern', candidates: int | None = None
) -> Costs:
    """Parameters and multiply-adds of a detector for one image.

    Args:
        model: a detector of ours or mmdet's, on any device, also 'meta'. A copy of it is run.
        shape: (H, W) of the image as the backbone sees it, that is, padded.
        convention: 'paper' or 'modern', see the top of this file.
        candidates: masks that a head of ours decodes in the modern convention.

    Raises:
        ValueError: unknown convention, or not between one candidate and one per cell.
        TypeError: a head that `forward_pass` does not know how to run.
        Exception: the model fails; on 'meta' also if one of its operations needs values.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f'convention is {convention!r}; it must be one of {CONVENTIONS}')
    parts, paper = parameters(model), convention == 'paper'
    model = without_values(plainly(model) if paper else copy.deepcopy(model)).eval().requires_grad_(False)
    images = torch.zeros(1, 3, *shape, device=next(model.parameters()).device)
    with paper_counter(model) if paper else modern_counter(model) as (macs, uncounted):
        forward_pass(model, images, dense=paper, candidates=candidates)
    for name, number in macs.items():
        parts[name] += Cost(macs=number)
    workers = [part_name(path) for path, module in model.named_modules() if isinstance(module, _ConvNd | nn.Linear)]
    return Costs(
        parts={name: cost for name, cost in parts.items() if cost != Cost()},
        uncounted=dict(uncounted),
        idle=[name for name in dict.fromkeys(workers) if name not in macs],
    )


def part_name(path: str) -> str:
    """The part that a module belongs to, from its dotted path: backbone and neck are one each, heads are split.

    'backbone.layer1.0.conv1' -> 'backbone'; 'mask_head.class_tower.0.conv' -> 'mask_head.class_tower';
    'mask_head.aggregator.context.fuse' -> 'mask_head.aggregator.context'.
    """
    words = path.split('.')
    depth = 1 if words[0] in ('backbone', 'neck') else 3 if words[1:2] == ['aggregator'] else 2
    return '.'.join(words[:depth]) or OTHER


def parameters(model: nn.Module) -> defaultdict[str, Cost]:
    """Number of parameters by part; a shared one counts once."""
    parts: defaultdict[str, Cost] = defaultdict(Cost)
    for path, parameter in model.named_parameters():
        size = parameter.numel()
        parts[part_name(path.rpartition('.')[0])] += Cost(size, size * parameter.requires_grad)
    return parts


# Counters

Counts = tuple[Counter[str], Counter[str]]
"""Multiply-adds by part, also 0 of those that were called; and by type how often modules ran that count nothing, though
they work or have parameters of their own."""


@contextmanager
def paper_counter(model: nn.Module) -> Iterator[Counts]:
    """Count modules as MMDetection v1 does, see `paper_macs`."""
    macs: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()

    def count(part: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        number = paper_macs(module, inputs, output)
        macs[part] += number or 0
        if number is None and (module._parameters or not (any(module.children()) or isinstance(module, NOTHING))):
            uncounted[type(module).__name__] += 1

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            hooks.callback(module.register_forward_hook(partial(count, part_name(path))).remove)
        yield macs, uncounted


def paper_macs(module: nn.Module, inputs: tuple, output: Any) -> int | None:
    """Multiply-adds of one call of a module in the paper convention; None for types that it does not know.

    A convolution counts one per weight and position of its output, and one per bias; a transposed one as well, though
    it really does a fraction of that. Linear layers count their weights without bias, batch normalisation two per
    element (one without affine parameters), activations, pooling (of its input) and `nn.Upsample` one. GroupNorm,
    LayerNorm, attention and deformable convolutions are among those that count nothing.
    """
    if isinstance(module, _ConvNd):
        return output.numel() // module.out_channels * sum(p.numel() for p in module.parameters())
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, _BatchNorm):
        return inputs[0].numel() * (2 if module.affine else 1)
    if isinstance(module, POOLINGS):
        return inputs[0].numel()
    return output.numel() if isinstance(module, PER_ELEMENT) else None


@contextmanager
def modern_counter(model: nn.Module) -> Iterator[Counts]:
    """Count the multiply-adds of convolutions and matrix products, wherever they are called; nothing is left out.

    Biases, normalisation, activations, pooling and interpolation count nothing. `FlopCounterMode` charges a call to all
    modules around it; here it is charged to the innermost part, since a lazy head runs its towers in the middle of
    decoding.
    """
    macs: Counter[str] = Counter()
    # PyTorch has no formula for the attention kernel of the CPU; the plain form is two matrix products.
    with ExitStack() as stack, sdpa_kernel(SDPBackend.MATH):
        flops = stack.enter_context(FlopCounterMode(display=False, custom_mapping=IN_PLACE))
        meter = StageMeter(flops.get_total_flops)
        for path, module in model.named_modules():
            part = part_name(path)
            stack.callback(module.register_forward_pre_hook(lambda *_, part=part: meter.begin(part)).remove)
            stack.callback(module.register_forward_hook(lambda *_: meter.end()).remove)
        with meter.listening(), meter.stage(OTHER):
            yield macs, Counter()
        for name, number in meter.spent.items():
            macs[PART_OF_MARK.get(name, name)] += int(number) // 2
