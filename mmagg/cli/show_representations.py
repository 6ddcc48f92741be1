"""Pictures of what instance masks are made of, as ``tools/analysis/show_representations.py`` offers them."""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import infer, load_model
from mmagg.cli.arguments import add_cfg_options, add_device, add_trust_flag, positive
from mmagg.evaluation.results import confident
from mmagg.inside.heat_map import Frame, fit, outline_cell
from mmagg.inside.mask_panels import Panel, logits_panel, panel_sheet, probs_panel
from mmagg.inside.representations import MaskInspector, Surroundings, recorded
from mmagg.inside.thumbnail_sheet import thumbnail_sheet, thumbnail_size
from mmagg.io.errors import InputError
from mmagg.io.images import read_image, write_image
from mmagg.models.heads import GridMaskHead
from mmagg.models.masks.grid.aggmask import AggMaskMasks
from mmagg.visualization.overlay import decode_mask, draw_instances

PANEL_SIDE = 480  # pixels of a panel's longer side


class Seen(NamedTuple):
    """An image as a model sees it."""

    masks: MaskInspector
    instances: InstanceData
    frame: Frame
    classes: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/show_representations.py``."""
    parser = argparse.ArgumentParser(
        description='Show what masks are made of. A row per instance (AggMask, Fig. 5): the instance, the mask '
        'representations that its cell aggregates, where they stand in the grid (red: inside, blue: outside), and its '
        'mask. Without an aggregator: the local masks of the cell and its four neighbours. With --sheet: the masks of '
        'all cells of a level (SOLO, Fig. 4).',
        epilog='example: python tools/analysis/show_representations.py configs/aggmask/'
        'aggmask-solo_r50_fpn_3x_coco.py CHECKPOINT street.jpg --plain configs/solo/solo_r50_fpn_3x_coco.py '
        'CHECKPOINT2',
    )
    parser.add_argument('config', help='config file; its head is a GridMaskHead')
    parser.add_argument('checkpoint', help='.pth file')
    parser.add_argument('image', type=Path, metavar='IMAGE', help='image file')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='the picture, .png or .jpg (IMAGE_representations.png or IMAGE_levelN.png in the current folder)',
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, metavar='S', help='leave out less certain instances (%(default)s)'
    )
    parser.add_argument(
        '--instances', type=positive, default=4, metavar='N', help='show the N most certain instances (%(default)s)'
    )
    parser.add_argument(
        '--plain',
        nargs=2,
        metavar=('CONFIG2', 'CHECKPOINT2'),
        help='show also what this model, without aggregator, predicts at the same place and around it',
    )
    parser.add_argument(
        '--sheet', type=int, metavar='LEVEL', help='show the masks of all cells of this level (0, 1, ...) instead'
    )
    add_device(parser)
    add_cfg_options(parser, 'change CONFIG')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw what the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    if args.sheet is not None and args.plain:
        raise InputError('--sheet shows one model: leave out --plain')
    suffix = 'representations' if args.sheet is None else f'level{args.sheet}'
    out = args.out or Path(f'{args.image.stem}_{suffix}.png')
    if out.resolve() == args.image.resolve():
        raise InputError(f'--out {out}: is IMAGE itself')
    image = read_image(args.image)
    seen = _see(image, args.config, args.checkpoint, args.device, args.cfg_options)
    picture = _instances(image, seen, args) if args.sheet is None else _sheet(image, seen, args)
    print(f'written to {write_image(picture, out)}')


def _see(image: np.ndarray, config: str, checkpoint: str, device: str, cfg_options: dict | None = None) -> Seen:
    """Let a model see the image."""
    model = load_model(config, checkpoint, device, cfg_options)
    heads = [x for x in model.modules() if isinstance(x, GridMaskHead)]
    if len(heads) != 1:
        raise InputError(
            f'config {config}: its {type(model).__name__} has {len(heads) or "no"} GridMaskHead; masks of grid cells '
            'are shown of one'
        )
    with recorded(heads[0]) as outputs:
        sample = infer(model, [image])[0]
    [(_, masks)] = outputs
    padded = (masks[0].size[0] * masks[0].stride, masks[0].size[1] * masks[0].stride)
    frame = Frame(padded, tuple(sample.img_shape[:2]))
    return Seen(MaskInspector(heads[0], masks), sample.pred_instances, frame, model.dataset_meta['classes'])


# A row per instance


def _instances(image: np.ndarray, seen: Seen, args: argparse.Namespace) -> np.ndarray:
    """The picture of the most certain instances."""
    shown = _certain(seen, args)
    plain = args.plain and _see(image, *args.plain, args.device)
    if plain and len(plain.masks.masks) != len(seen.masks.masks):
        raise InputError(
            f'{args.config} has {len(seen.masks.masks)} levels and {args.plain[0]} {len(plain.masks.masks)}: '
            'their cells cannot be compared'
        )
    scale = PANEL_SIDE / max(image.shape[:2])
    size = tuple(max(1, round(scale * side)) for side in image.shape[:2])
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    rows = [_row(small, shown[[i]], seen, plain) for i in tqdm(range(len(shown)), desc='drawing', unit='instance')]
    aggregated = isinstance(seen.masks.masks[0], AggMaskMasks)
    titles = {
        'instance': 'instance and its cell',
        'logits': 'mask representations (logits)' if aggregated else 'local masks (logits)',
        'plain': 'baseline masks (probability)',
        'mask': 'aggregated mask (probability)' if aggregated else 'mask (probability)',
    }
    heading = f'{args.image.name}: {Path(args.config).stem}'
    if plain:
        heading += f', baseline {Path(args.plain[0]).stem}'
    return panel_sheet(heading, [titles[name] for name in rows[0]], [list(row.values()) for row in rows])


def _certain(seen: Seen, args: argparse.Namespace) -> InstanceData:
    """The instances to show.

    Raises:
        InputError: there is none.
    """
    scores = seen.instances.scores
    if not len(scores):
        threshold = seen.masks.head.post_process.score_thr
        raise InputError(
            f'{args.image}: the model finds nothing in it; lower model.test_cfg.score_thr ({threshold:g}) with '
            '--cfg-options'
        )
    shown = confident(seen.instances, args.score_thr)
    if not len(shown):
        raise InputError(
            f'{args.image}: no instance has a score of {args.score_thr:g} or more, the best has '
            f'{float(scores.max()):.3f}; lower --score-thr'
        )
    return shown[: args.instances]


def _row(picture: np.ndarray, instance: InstanceData, seen: Seen, plain: Seen | None) -> dict[str, Panel]:
    """What is shown of an instance, by column.

    Args:
        picture: the image at the size of a panel.
        instance: one of those that the first model found.
        seen: the image as the first model sees it.
        plain: the image as the baseline sees it.
    """
    level, cell = seen.masks.place(int(instance.cells))
    grid = seen.masks.head.grids[level]
    panels = {'instance': _instance_panel(picture, instance, seen, level, cell)}
    representations = seen.masks.representations(level, cell)
    if len(representations.cells):  # some aggregate context alone
        panels['logits'] = logits_panel(picture, representations, seen.frame)
    if plain:
        panels['plain'] = probs_panel(picture, plain.masks.probs_around(level, cell, grid), plain.frame)
    own = torch.tensor([cell])
    mask = Surroundings(seen.masks.probs(level, own), own, grid)
    panels['mask'] = probs_panel(picture, mask, seen.frame)
    return panels


def _instance_panel(picture: np.ndarray, instance: InstanceData, seen: Seen, level: int, cell: int) -> Panel:
    """The instance over the image, with its cell."""
    mask = decode_mask(instance.masks[0]).view(np.uint8)
    mask = cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    drawn = draw_instances(picture, mask[None], instance.labels, instance.scores, None, seen.classes)
    grid = seen.masks.head.grids[level]
    outline_cell(drawn, cell, grid, seen.frame)
    row, column = divmod(cell, grid)
    return Panel(
        drawn,
        f'{seen.classes[int(instance.labels)]} {100 * float(instance.scores):.0f} %: '
        f'level {level}, row {row}, column {column} of {grid} × {grid}',
    )


# All cells of a level


def _sheet(image: np.ndarray, seen: Seen, args: argparse.Namespace) -> np.ndarray:
    """The picture of all masks of a level."""
    grids, level = seen.masks.head.grids, args.sheet
    if not 0 <= level < len(grids):
        raise InputError(f'--sheet {level}: the model has levels 0 to {len(grids) - 1}')
    size = thumbnail_size(grids[level], image.shape[:2])
    thumbnails = []
    with tqdm(total=grids[level] ** 2, desc='masks', unit='cell') as bar:
        for probs in seen.masks.level_probs(level):
            thumbnails.append(fit(probs, seen.frame, size))
            bar.update(len(probs))
    heading = f'{args.image.name}: {Path(args.config).stem}, level {level}, {grids[level]} × {grids[level]} masks'
    return thumbnail_sheet(heading, image, np.concatenate(thumbnails))
