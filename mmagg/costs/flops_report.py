"""Parameters and multiply-adds of a config's detector, as a report."""

import sys
import warnings
from dataclasses import asdict
from math import ceil, prod
from textwrap import shorten
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.costs.flops import Costs, count_costs
from mmagg.io.errors import InputError, building, one_line
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.masks import assume_dictionaries

CANDIDATES = 300  # of a head of the SOLO family
SEED = 0


def count_flops(
    config: str,
    *,
    shape: tuple[int, int] = (800, 1216),
    convention: str = 'modern',
    candidates: int | None = None,
    cfg_options: dict | None = None,
) -> dict[str, Any]:
    """Count a config's detector, on PyTorch's meta device if its operations allow that; see `count_costs`.

    Args:
        config: config file, or ``mmdet::<path>`` for one of mmdet.
        shape: (H, W) of the padded image; a multiple of 32 is safe.
        convention: 'modern' or 'paper'.
        candidates: masks that a head of mmagg decodes, modern convention only; None: `CANDIDATES`, or `max_per_img`
            where masks are in boxes.
        cfg_options: changes to the config, dotted keys.

    Returns:
        the arguments, `device`, by part in `parts` and in `total` its `params`, `trainable` and `macs`, `uncounted`
        and `idle` as in `Costs`.

    Raises:
        InputError: the config cannot be used, does not run on this shape, or has not so many candidates.
    """
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    cfg = load_config(config, cfg_options, reads={'model'}).model
    model = _build(cfg)
    candidates = _candidates(model, config, shape, convention, candidates)
    costs, device = _count(model, cfg, config, shape=shape, convention=convention, candidates=candidates)
    return {
        'config': config,
        'shape': list(shape),
        'convention': convention,
        'candidates': candidates,
        'device': device,
        'parts': {name: asdict(cost) for name, cost in costs.parts.items()},
        'total': asdict(costs.total),
        'uncounted': costs.uncounted,
        'idle': costs.idle,
    }


def _build(cfg: ConfigDict) -> nn.Module:
    """Build a model without calling its `init_weights`, so that nothing is downloaded."""
    torch.manual_seed(SEED)
    with building():
        model = MODELS.build(cfg)
    assume_dictionaries(model)
    return model


def _candidates(
    model: nn.Module, config: str, shape: tuple[int, int], convention: str, wanted: int | None
) -> int | None:
    """The number of masks to decode; None where it does not matter."""
    head = getattr(model, 'mask_head', None)
    decodes = isinstance(head, GridMaskHead) or (isinstance(head, BoxedMaskHead) and head.masks is not None)
    if convention != 'modern' or not decodes:
        if wanted is not None:
            what = "--candidates: only the modern convention and mmagg's own heads with masks have them"
            raise InputError(f'{what}, not {config} by the {convention} one')
        return None
    if isinstance(head, GridMaskHead):
        default, places, what = CANDIDATES, sum(grid**2 for grid in head.grids), 'grid cells'
    else:
        default, what = head.post_process.max_per_img, 'locations'
        places = sum(prod(ceil(side / stride) for side in shape) for stride in head.boxes.strides)
    if wanted is not None and wanted > places:
        raise InputError(f'--candidates {wanted}: the head has only {places} {what}')
    return min(wanted or default, places)


def _count(model: nn.Module, cfg: ConfigDict, config: str, **options: Any) -> tuple[Costs, str]:
    """The costs, and the device that they were counted on: 'meta', or 'cpu' for what needs values.

    The model loses its values; for the CPU another one is built from its config.
    """
    try:
        return count_costs(model.to('meta'), **options), 'meta'
    except Exception as error:  # models fail on tensors without values in many ways
        reason = shorten(one_line(error), 100, placeholder=' …')
        tqdm.write(f'shapes do not suffice ({reason}); computing on the CPU', file=sys.stderr)
    model = _build(cfg)
    layers = [module for module in model.modules() if not any(module.children())]
    with tqdm(total=len(layers), desc='layers', leave=False) as bar:

        def advance(*_: object) -> None:
            bar.update()

        for layer in layers:
            layer.register_forward_hook(advance)
        try:
            return count_costs(model, **options), 'cpu'
        except Exception as error:
            height, width = options['shape']
            what = f'config {config} does not run on 1 × 3 × {height} × {width}'
            raise InputError(f'{what}: {one_line(error)}') from error


def table(report: dict[str, Any]) -> str:
    """The report as text: what was counted, then a row per part."""
    height, width = report['shape']
    lines = [
        f'config      {report["config"]}',
        f'input       1 × 3 × {height} × {width}',
        f'convention  {report["convention"]}'
        + (f', {report["candidates"]} masks decoded' if report['candidates'] else ''),
        '',
        f'{"":<40}{"parameters [M]":>15}{"trainable [M]":>15}{"FLOPs [G]":>12}',
    ]
    for name, cost in (*report['parts'].items(), ('total', report['total'])):
        millions = (cost['params'] / 1e6, cost['trainable'] / 1e6)
        lines.append(f'{name:<40}' + ''.join(f'{x:>15.3f}' for x in millions) + f'{cost["macs"] / 1e9:>12.2f}')
    if report['uncounted']:
        calls = ', '.join(f'{name} ({number} calls)' for name, number in report['uncounted'].items())
        lines += ['', f'not counted: {calls}']
    if report['idle']:
        names = ', '.join(report['idle'])
        lines += ['', f'did not run, so the FLOPs are not complete unless it is for training alone: {names}']
    return '\n'.join(lines)
