"""Parameters and FLOPs of a detector, as ``tools/analysis/get_flops.py`` offers them."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import ceil, prod
from pathlib import Path
from textwrap import shorten

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.cli.arguments import add_cfg_options, positive
from mmagg.costs.flops import CONVENTIONS, Costs, count_costs
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import write_json
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.masks import assume_dictionaries

CANDIDATES = 300  # of a head of the SOLO family
SEED = 0
DESCRIPTION = """\
Parameters and FLOPs of a detector, part by part, for one image. A multiply-add is one FLOP.
Weights are random, none are downloaded. Where shapes suffice for counting, nothing is computed.

conventions:
  modern  every multiply-add of convolutions and matrix products that this code does, in modules or
          functions (deformable convolutions without their sampling). Not: biases, normalisation,
          activations, pooling, interpolation. A head of mmagg makes masks on demand: --candidates
          of them, evenly spread over all grid cells (SOLO family) or locations (boxes).
  paper   what MMDetection v1 counted, hence what many papers print. Modules only: convolutions with
          bias (transposed ones at their output's size), linear layers, 2 per element of batch
          normalisation, 1 per element of activations, poolings and upsampling modules. Not:
          GroupNorm, LayerNorm, attention, deformable convolutions and whatever is called as a
          function, such as dynamic convolutions. A head of mmagg computes, as its original does,
          the masks of all cells, from upsampled features, or the coefficients of all locations.

Both count the heads of a two-stage detector for 1000 boxes and 100 masks.
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/get_flops.py``."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog='example: python tools/analysis/get_flops.py configs/solo/solo_r101_fpn_3x_coco.py --shape 800 1216 '
        '--convention paper',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument(
        '--shape',
        type=positive,
        nargs=2,
        default=(800, 1216),
        metavar=('H', 'W'),
        help='size of the padded image; a multiple of 32 is safe (800 1216)',
    )
    parser.add_argument('--convention', choices=CONVENTIONS, default='modern', help='what counts (%(default)s)')
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help=f'masks that a head of mmagg decodes, modern convention only ({CANDIDATES}; boxes: max_per_img)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers here as well')
    add_cfg_options(parser, 'change the config, e.g. model.backbone.depth=18')
    return parser


def run(args: argparse.Namespace) -> None:
    """Count as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    cfg = load_config(args.config, args.cfg_options).model
    model = _build(cfg)
    candidates = _candidates(model, args)
    costs, device = _count(model, cfg, args, candidates)
    report = {
        'config': args.config,
        'shape': list(args.shape),
        'convention': args.convention,
        'candidates': candidates,
        'device': device,
        'parts': {name: asdict(cost) for name, cost in costs.parts.items()},
        'total': asdict(costs.total),
        'uncounted': costs.uncounted,
        'idle': costs.idle,
    }
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')


def _build(cfg: ConfigDict) -> nn.Module:
    """The model; its `init_weights` is not called, so nothing is downloaded."""
    torch.manual_seed(SEED)
    model = MODELS.build(cfg)
    assume_dictionaries(model)
    return model


def _candidates(model: nn.Module, args: argparse.Namespace) -> int | None:
    """How many masks to decode; None where that is no question."""
    head = getattr(model, 'mask_head', None)
    if args.convention != 'modern' or not isinstance(head, GridMaskHead | BoxedMaskHead):
        if args.candidates is not None:
            raise InputError(
                "--candidates: only the modern convention and mmagg's own heads have them, "
                f'not {args.config} by the {args.convention} one'
            )
        return None
    if isinstance(head, GridMaskHead):
        default, places, what = CANDIDATES, sum(grid**2 for grid in head.grids), 'grid cells'
    else:
        default, what = head.post_process.max_per_img, 'locations'
        places = sum(prod(ceil(side / stride) for side in args.shape) for stride in head.boxes.strides)
    if args.candidates is not None and args.candidates > places:
        raise InputError(f'--candidates {args.candidates}: the head has only {places} {what}')
    return min(args.candidates or default, places)


def _count(model: nn.Module, cfg: ConfigDict, args: argparse.Namespace, candidates: int | None) -> tuple[Costs, str]:
    """The costs, and the device that they were counted on: 'meta', or 'cpu' for what needs values.

    The model loses its values; for the CPU another one is built from its config.
    """
    options = dict(shape=tuple(args.shape), convention=args.convention, candidates=candidates)
    try:
        return count_costs(model.to('meta'), **options), 'meta'
    except Exception as error:  # models fail on tensors without values in many ways
        reason = shorten(one_line(error), 100, placeholder=' …')
        print(f'shapes do not suffice ({reason}); computing on the CPU', file=sys.stderr)
    model = _build(cfg)
    try:
        with _progress(model):
            return count_costs(model, **options), 'cpu'
    except Exception as error:
        height, width = args.shape
        raise InputError(
            f'config {args.config} does not run on 1 × 3 × {height} × {width}: {one_line(error)}'
        ) from error


@contextmanager
def _progress(model: nn.Module) -> Iterator[None]:
    """A bar that advances with every layer of the model."""
    layers = [module for module in model.modules() if not any(module.children())]
    with tqdm(total=len(layers), desc='layers', leave=False) as bar:

        def advance(*_: object) -> None:
            bar.update()

        for layer in layers:
            layer.register_forward_hook(advance)
        yield


# Printing


def table(report: dict) -> str:
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
