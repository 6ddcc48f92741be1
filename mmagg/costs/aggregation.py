"""AggMask's aggregation alone: as the release computes it, and as mmagg does. PyTorch alone is imported."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmagg.apis.hardware import hardware, usable_device
from mmagg.costs.timing import compare, heading
from mmagg.io.errors import InputError
from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_of_gathered, grid_neighbours

GRID, CONTEXT = 40, 16


@torch.no_grad()
def benchmark_aggregation(
    *, candidates: int = 300, shape: tuple[int, int] = (200, 336), runs: int = 3, device: str = 'cpu'
) -> dict[str, Any]:
    """Time and peak memory of the aggregation of evenly spread cells of a grid.

    Args:
        candidates: masks to aggregate.
        shape: (H, W) of a mask.
        runs: timed runs of each form, in turns.
        device: e.g. cuda:0.

    Returns:
        `hardware`, `candidates`, `shape`, `gmacs` (multiply-adds needed, in 10⁹), and in `forms` the results of
        `compare` for 'release' and 'mmagg'.

    Raises:
        InputError: more candidates than the grid has cells, or no such device.
    """
    if candidates > GRID**2:
        raise InputError(f'--candidates {candidates}: the grid has {GRID**2} cells')
    place = usable_device(device)
    generator = torch.Generator().manual_seed(0)
    cells = torch.arange(candidates) * GRID**2 // candidates
    used, index = grid_neighbours(GRID, GRID, '4')[cells].unique(return_inverse=True)
    spec = DynamicConvSpec(index.shape[1] + CONTEXT)
    sizes = (len(used), *shape), (CONTEXT, *shape), (candidates, spec.num_params)
    maps, context, params = (torch.randn(size, generator=generator).to(place) for size in sizes)
    inputs = maps, index, context, 0.1 * params, spec

    def run(form: Callable[..., Tensor]) -> list[Tensor]:
        return [form(*inputs)]

    forms = {'release': stacked, 'mmagg': dynamic_conv_of_gathered}
    macs_per_pixel = sum(o * i * spec.kernel_size**2 for o, i in spec.layers)
    return {
        'hardware': hardware(place),
        'candidates': candidates,
        'shape': list(shape),
        'gmacs': macs_per_pixel * candidates * shape[0] * shape[1] / 1e9,
        'forms': compare({name: partial(run, form) for name, form in forms.items()}, place, runs),
    }


def stacked(maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """The release's form of `dynamic_conv_of_gathered`: a stack of inputs per candidate, one group of a convolution."""
    gathered = maps[index.to(maps.device)]
    return dynamic_conv(torch.cat([gathered, shared.expand(len(index), -1, -1, -1)], 1), params, spec)


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    (release, ours), needed = report['forms'].values(), report['gmacs']
    ratios = [ours[key] / release[key] for key in ('ms', 'mib')]
    height, width = report['shape']
    lines = [
        heading(report['hardware']),
        f'work      {report["candidates"]} masks of {height} x {width}, {needed:.1f} G multiply-adds needed; '
        f'largest difference {ours["difference"]:.1e}',
        '',
        f'{"":<10}{"s":>8}{"G/s":>8}{"MiB":>8}',
    ]
    for name, x in report['forms'].items():
        lines.append(f'{name:<10}{x["ms"] / 1e3:>8.3f}{needed / x["ms"] * 1e3:>8.1f}{x["mib"]:>8.0f}')
    return '\n'.join([*lines, f'{"ratio":<10}{ratios[0]:>8.3f}{"":>8}{ratios[1]:>8.3f}'])
