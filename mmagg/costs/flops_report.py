"""Parameters and multiply-adds of a config's detector, as a report."""

import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from math import ceil, prod
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from torch import nn
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.apis.config_options import option_places
from mmagg.costs.flops import Cost, Costs, count_costs, parameters
from mmagg.costs.levels import HEAD, level_costs
from mmagg.datasets.coco_folder import annotation_file, check_is_folder, instead
from mmagg.datasets.network_sizes import image_sizes, network_sizes
from mmagg.formats.known import refuse_other_layouts
from mmagg.io.errors import InputError, building, one_line
from mmagg.io.files import require_file
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.masks import assume_dictionaries

SHAPE = 800, 1216
Counted = TypeVar('Counted')
CANDIDATES = 300  # of a head of the SOLO family
SEED = 0


def count_flops(
    config: str,
    *,
    shape: tuple[int, int] = SHAPE,
    ann: str | Path | None = None,
    coco: str | Path | None = None,
    convention: str = 'modern',
    by_level: bool = False,
    candidates: int | None = None,
    cfg_options: dict | None = None,
) -> dict[str, Any]:
    """Count a config's detector, on PyTorch's meta device if its operations allow that; see `count_costs`.

    Args:
        config: config file, ``mmagg::<path>`` or ``mmdet::<path>``.
        shape: (H, W) of the padded image; a multiple of 32 is safe.
        ann: an annotation file in COCO format: the mean over its images, each resized by the config's test pipeline and
            padded alone; counted once for each size that results.
        coco: instead, a folder in COCO format, of which the validation images are taken.
        convention: 'modern' or 'paper'.
        by_level: also the multiply-adds of the head by level, paper convention only; see `level_costs`.
        candidates: masks that a head of mmagg decodes, modern convention only; None: `CANDIDATES`, or `max_per_img`
            where masks are in boxes.
        cfg_options: changes to the config, dotted keys.

    Returns:
        the arguments, `device`, by part in `parts` and in `total` its `params`, `trainable` and `macs`, `uncounted`
        and `idle` as in `Costs`. Of an annotation file `shape` is None, and `averaged` has the file, and the numbers of
        its images and of the sizes that were counted. With `by_level`, `levels` is what `level_costs` returns.

    Raises:
        InputError: the config or file cannot be used, the model does not run on this shape, has not so many candidates,
            or no head with levels.
    """
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    path = _annotations(ann, coco, shape, cfg_options or {})
    read = load_config(config, cfg_options, reads={'model', *(() if path is None else ('test_dataloader',))})
    cfg, model = read.model, _build(read.model)
    if by_level and (convention != 'paper' or not isinstance(getattr(model, HEAD, None), GridMaskHead | BoxedMaskHead)):
        raise InputError("--by-level: only the paper convention and mmagg's own heads have levels")
    shapes = Counter([shape]) if path is None else padded_shapes(read, path)
    images, params = shapes.total(), parameters(model)
    macs: Counter[str] = Counter()
    levels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, number in tqdm(shapes.items(), desc='sizes', unit='size', disable=path is None):
        chosen = _candidates(model, config, one, convention, candidates)

        def count(
            model: nn.Module, one: tuple[int, int] = one, chosen: int | None = chosen
        ) -> tuple[Costs, dict[str, dict[str, int]]]:
            costs = count_costs(model, one, convention=convention, candidates=chosen)
            return costs, level_costs(model, one) if by_level else {}

        (costs, by_part), device = _count(model, cfg, config, one, count)
        macs.update({name: number * cost.macs for name, cost in costs.parts.items()})
        for part, counts in by_part.items():
            levels[part].update({level: number * count for level, count in counts.items()})
    parts = {name: replace(params[name], macs=round(macs[name] / images)) for name in costs.parts}
    averaged = {'annotations': str(path), 'images': images, 'sizes': len(shapes)}
    mean = {part: {level: round(n / images) for level, n in counts.items()} for part, counts in levels.items()}
    return {
        'config': config,
        'shape': list(shape) if path is None else None,
        **({} if path is None else {'averaged': averaged}),
        'convention': convention,
        'candidates': chosen,
        'device': device,
        'parts': {name: asdict(cost) for name, cost in parts.items()},
        'total': asdict(sum(parts.values(), Cost())),
        **({'levels': mean} if by_level else {}),
        'uncounted': costs.uncounted,
        'idle': costs.idle,
    }


def padded_shapes(cfg: Config, path: str | Path) -> Counter[tuple[int, int]]:
    """The padded sizes (H, W) of an annotation file's images, and how many images have each."""
    sizes = image_sizes(path)
    padded = network_sizes(cfg, sizes)
    return Counter(padded[size][1] for size in sizes)


def _annotations(ann: str | Path | None, coco: str | Path | None, shape: tuple[int, int], options: dict) -> Path | None:
    """The file whose images' sizes are averaged over; None for one shape."""
    if ann is not None and coco is not None:
        raise InputError('--ann and --coco: give one of them')
    given = ann if coco is None else annotation_file(Path(coco), 'val')
    if given is None:
        return None
    if tuple(shape) != SHAPE:
        raise InputError('--shape: with --ann or --coco, the sizes are those of its images; leave out one of them')
    for names in (names for key, value in options.items() for names in option_places(key.split('.'), value)):
        if names[0] == 'test_dataloader' and 'pipeline' not in names:
            what = 'of it the pipeline alone is read, the images are those of --ann or --coco'
            raise InputError(f'--cfg-options {".".join(names)}: {what}')
    path = Path(given)
    if coco is not None:
        refuse_other_layouts(Path(coco))
        check_is_folder(Path(coco))
        if not path.exists():
            raise InputError(f'--coco {coco}: {path} is missing{instead(Path(coco))}')
    require_file(path, '--ann' if coco is None else '--coco')
    return path


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
    if convention == 'modern' and isinstance(head, GridMaskHead):
        default, places, what = CANDIDATES, sum(grid**2 for grid in head.grids), 'grid cells'
    elif convention == 'modern' and isinstance(head, BoxedMaskHead) and head.masks is not None:
        default, what = head.post_process.max_per_img, 'locations'
        places = sum(prod(ceil(side / stride) for side in shape) for stride in head.boxes.strides)
    elif wanted is None:
        return None
    else:
        what = "--candidates: only the modern convention and mmagg's own heads with masks have them"
        raise InputError(f'{what}, not {config} by the {convention} one')
    if wanted is not None and wanted > places:
        raise InputError(f'--candidates {wanted}: the head has only {places} {what}')
    return min(wanted or default, places)


def _count(
    model: nn.Module, cfg: ConfigDict, config: str, shape: tuple[int, int], count: Callable[[nn.Module], Counted]
) -> tuple[Counted, str]:
    """What `count` returns of the model, and the device that it was counted on: 'meta', or 'cpu' for what needs values.

    The model loses its values; for the CPU another one is built from its config.
    """
    try:
        return count(model.to('meta')), 'meta'
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
            return count(model), 'cpu'
        except Exception as error:
            height, width = shape
            what = f'config {config} does not run on 1 × 3 × {height} × {width}'
            raise InputError(f'{what}: {one_line(error)}') from error


def table(report: dict[str, Any]) -> str:
    """The report as text: what was counted, then a row per part."""
    lines = [
        f'config      {report["config"]}',
        f'input       {_input(report)}',
        f'convention  {report["convention"]}'
        + (f', {report["candidates"]} masks decoded' if report['candidates'] else ''),
        '',
        f'{"":<40}{"parameters [M]":>15}{"trainable [M]":>15}{"FLOPs [G]":>12}',
    ]
    for name, cost in (*report['parts'].items(), ('total', report['total'])):
        millions = (cost['params'] / 1e6, cost['trainable'] / 1e6)
        lines.append(f'{name:<40}' + ''.join(f'{x:>15.3f}' for x in millions) + f'{cost["macs"] / 1e9:>12.2f}')
    if levels := report.get('levels'):
        names = list(next(iter(levels.values())))
        lines += ['', f'{"FLOPs [G] by level, the finest first":<40}' + ''.join(f'{name:>9}' for name in names)]
        total = {name: sum(part[name] for part in levels.values()) for name in names}
        for part, counts in (*levels.items(), ('mask_head', total)):
            lines.append(f'{part:<40}' + ''.join(f'{counts[name] / 1e9:>9.2f}' for name in names))
    if report['uncounted']:
        calls = ', '.join(f'{name} ({number} calls)' for name, number in report['uncounted'].items())
        lines += ['', f'not counted: {calls}']
    if report['idle']:
        idle = ', '.join(report['idle'])
        lines += ['', f'did not run, so the FLOPs are not complete unless it is for training alone: {idle}']
    return '\n'.join(lines)


def _input(report: dict[str, Any]) -> str:
    """The size of the input, or what is averaged over."""
    if report['shape'] is not None:
        return '1 × 3 × {} × {}'.format(*report['shape'])
    averaged = report['averaged']
    sizes = f'{averaged["sizes"]} padded sizes, each counted once'
    return f'mean over the {averaged["images"]} images of {averaged["annotations"]}: {sizes}'
