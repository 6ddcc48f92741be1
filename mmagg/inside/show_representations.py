"""A picture of some instances' mask representations (AggMask, Fig. 5), or of all masks of a level (SOLO, Fig. 4)."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.config import base_files
from mmagg.apis.inference import infer, load_model
from mmagg.inside.mask_panels import logits_panel, probs_panel
from mmagg.inside.representations import MaskInspector, Surroundings, recorded
from mmagg.inside.shown_image import certain, image_to_show
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.images import write_image
from mmagg.models.heads import GridMaskHead
from mmagg.models.masks.grid.aggmask import AggMaskMasks
from mmagg.rle.codes import decode_mask
from mmagg.visualization.heat_map import Frame, fit, outline_cell
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.panel_sheet import Panel, panel_sheet
from mmagg.visualization.thumbnail_sheet import thumbnail_sheet, thumbnail_size

PANEL_SIDE = 480  # pixels of a panel's longer side


class Seen(NamedTuple):
    """A model's results for an image."""

    masks: MaskInspector
    instances: InstanceData
    frame: Frame
    classes: tuple[str, ...]


def show_representations(
    config: str | Path,
    checkpoint: str | Path,
    image: str | Path,
    *,
    out: str | Path | None = None,
    score_thr: float = 0.3,
    instances: int = 4,
    plain: tuple[str | Path, str | Path] | None = None,
    sheet: int | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Path:
    """Draw a row for each of the most certain instances, or the masks of all cells of a level.

    A row has the instance, the mask representations that its cell aggregates, at their places in the grid, and its
    mask; without an aggregator, the local masks of the cell and of its four neighbours.

    Args:
        config: of a model whose head is a `GridMaskHead`.
        checkpoint: its weights.
        image: the file.
        out: the picture, .png or .jpg; by default IMAGE_representations.png or IMAGE_levelN.png in the current folder.
        score_thr: instances with a lower score are left out; from 0 to 1.
        instances: number of rows at most.
        plain: config and checkpoint of a model without an aggregator, whose masks at the same place and around it are
            shown as well.
        sheet: the level whose cells' masks are shown instead.
        device: e.g. `cuda:0`; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read checkpoints that hold code.

    Returns:
        The picture's file.

    Raises:
        InputError: a file, the head, the level or the device cannot be used, or there is no such instance.
    """
    check_fraction(score_thr, '--score-thr')
    secure_loading(trust=trust_checkpoint)
    if sheet is not None and plain:
        raise InputError('--sheet shows one model: leave out --plain')
    image = Path(image)
    out = Path(out or f'{image.stem}_{"representations" if sheet is None else f"level{sheet}"}.png')
    others = [*plain, *base_files(plain[0])] if plain else []
    pixels = image_to_show(image, out, config, *base_files(config), checkpoint, *others)
    seen = _see(image, config, checkpoint, device, cfg_options)
    heading = f'{image.name}: {Path(config).stem}'
    if sheet is not None:
        return write_image(_sheet(pixels, seen, sheet, heading), out)
    lowest = seen.masks.head.post_process.score_thr
    shown = certain(seen.instances, score_thr, lowest=lowest, image=image)[:instances]
    baseline = None
    if plain:
        baseline = _see(image, *plain, device)
        if len(baseline.masks.masks) != len(seen.masks.masks):
            raise InputError(
                f'{config} has {len(seen.masks.masks)} levels and {plain[0]} {len(baseline.masks.masks)}: their cells '
                'cannot be compared'
            )
        heading += f', baseline {Path(plain[0]).stem}'
    return write_image(_rows(pixels, shown, seen, baseline, heading), out)


def _see(
    image: Path,
    config: str | Path,
    checkpoint: str | Path,
    device: str | None,
    cfg_options: dict | None = None,
) -> Seen:
    """The model's results for the image."""
    model: BaseDetector = load_model(config, checkpoint, device, cfg_options)
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


def _rows(image: np.ndarray, shown: InstanceData, seen: Seen, plain: Seen | None, heading: str) -> np.ndarray:
    """The picture of the most certain instances."""
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
    return panel_sheet(heading, [titles[name] for name in rows[0]], [list(row.values()) for row in rows])


def _row(picture: np.ndarray, instance: InstanceData, seen: Seen, plain: Seen | None) -> dict[str, Panel]:
    """The panels of one instance of the first model by column; `plain` are the results of the baseline."""
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
    stored = decode_mask(instance.masks[0]).view(np.uint8)
    mask = cv2.resize(stored, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
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


def _sheet(image: np.ndarray, seen: Seen, level: int, heading: str) -> np.ndarray:
    """The picture of all masks of a level."""
    grids = seen.masks.head.grids
    if not 0 <= level < len(grids):
        raise InputError(f'--sheet {level}: the model has levels 0 to {len(grids) - 1}')
    size = thumbnail_size(grids[level], image.shape[:2])
    thumbnails = []
    with tqdm(total=grids[level] ** 2, desc='masks', unit='cell') as bar:
        for probs in seen.masks.level_probs(level):
            thumbnails.append(fit(probs, seen.frame, size))
            bar.update(len(probs))
    heading += f', level {level}, {grids[level]} × {grids[level]} masks'
    return thumbnail_sheet(heading, image, np.concatenate(thumbnails))
