"""Multiply-adds of a head by the level of the pyramid that they are done for (AggMask, Figure 4)."""

from collections import defaultdict
from functools import partial
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from torch import nn

from mmagg.costs.flops import paper_macs, part_name
from mmagg.costs.forward_pass import forward_pass, without_values
from mmagg.costs.plain_a2fpn import plainly
from mmagg.models.heads import BoxedMaskHead, GridMaskHead

HEAD = 'mask_head'
SHARED = 'all'  # done once for all levels


@torch.no_grad()
def level_costs(model: BaseDetector, shape: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Multiply-adds of `mask_head` by level, in the paper convention: all cells or locations, see `count_costs`.

    A module that runs as often as there are levels, or several times so, takes them in turns. One that is in a list of
    as many modules as there are levels belongs to that of its place.

    Args:
        model: a detector with a head of mmagg, on any device, also 'meta'. A copy of it is run.
        shape: (H, W) of the padded image.

    Returns:
        by part, as `part_name` has it, and by level, '0' for the finest, or 'all' of what is done once for all levels.
    """
    model = without_values(plainly(model)).eval().requires_grad_(False)
    count = levels_of(getattr(model, HEAD))
    calls: dict[str, list[int]] = defaultdict(list)

    def note(path: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        calls[path].append(paper_macs(module, inputs, output) or 0)

    hooks = [
        module.register_forward_hook(partial(note, path))
        for path, module in model.named_modules()
        if path.startswith(f'{HEAD}.')
    ]
    forward_pass(model, torch.zeros(1, 3, *shape, device=next(model.parameters()).device), dense=True)
    for hook in hooks:
        hook.remove()
    found: dict[str, dict[str, int]] = {}
    for path, numbers in calls.items():
        part = found.setdefault(part_name(path), dict.fromkeys([*map(str, range(count)), SHARED], 0))
        place = _place(model, path, count)
        for turn, number in enumerate(numbers):
            level = place if place is not None else turn % count if len(numbers) % count == 0 else SHARED
            part[str(level)] += number
    return {part: levels for part, levels in found.items() if any(levels.values())}


def levels_of(head: GridMaskHead | BoxedMaskHead) -> int:
    """Number of levels of a head for grid or boxed masks."""
    return len(head.grids) if isinstance(head, GridMaskHead) else len(head.boxes.strides)


def _place(model: nn.Module, path: str, count: int) -> int | None:
    """The place of a module, or of one that holds it, in a list with an entry for each level; None if there is none."""
    names = path.split('.')
    for depth, name in enumerate(names):
        above = model.get_submodule('.'.join(names[:depth]))
        if isinstance(above, nn.ModuleList) and len(above) == count:
            return int(name)
    return None
