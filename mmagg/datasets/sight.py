"""What a network is too coarse to see: objects below its finest stride, or below a cell of its finest grid.

Shape shorthand: N objects.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config

from mmagg.datasets.coco_file import Entry, is_crowd
from mmagg.datasets.config_parts import dicts, parts, type_name
from mmagg.datasets.findings import Findings

MOST = 0.5  # the share of objects from which on it is said
MULTIPLE = 32  # pixels, of the short side that is advised
RESIZING = ('Resize', 'RandomResize', 'RandomChoiceResize')


class Sight(NamedTuple):
    """What decides how small an object a config can see.

    Attributes:
        stride: the finest of the heads, in pixels of the network's image.
        scale: the largest (long, short) side that training resizes to, in pixels.
        tested: the short side of tests.
        grids: cells per side by level, with the config's key of them; None without grids.
    """

    stride: float
    scale: tuple[int, int]
    tested: int
    grids: tuple[str, Sequence[int]] | None

    @classmethod
    def of(cls, cfg: Config) -> 'Sight | None':
        """That of a config; None where its strides or the sizes of its pipelines are not known."""
        grids = None
        for key, part in parts(cfg.get('model'), 'model'):
            name = key.rpartition('.')[2]
            if name in ('grids', 'num_grids') and isinstance(part, list | tuple):
                grids = key, part
        trained = [scale for step in _resizing(cfg.get('train_dataloader')) for scale in _scales(step)]
        tested = [
            min(scale)
            for stage in ('test', 'val')
            for step in _resizing(cfg.get(f'{stage}_dataloader'))
            for scale in _scales(step)
        ]
        stride = finest_stride(cfg)
        if stride is None or not trained or not tested:
            return None
        return cls(stride, max(trained, key=min), tested[0], grids)


def finest_stride(cfg: Config) -> float | None:
    """The finest stride of a config's heads, in pixels of the network's image; None where it is not known."""
    strides: list[float] = []
    for key, part in parts(cfg.get('model'), 'model'):
        if key.rpartition('.')[2] == 'strides' and not key.startswith('model.backbone'):
            strides += [one if isinstance(one, int | float) else min(one) for one in part]
    return min(strides, default=None)


def check_sight(findings: Findings, images: Sequence[Entry], annotations: Sequence[Entry], sight: Sight) -> None:
    """Warn where most objects are smaller than a network can see, with what to change.

    Args:
        findings: what is added to.
        images: with an id and a size each.
        annotations: with a box each, of these images.
        sight: of the config.
    """
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    objects = [one for one in annotations if not is_crowd(one)]
    if not objects:
        return
    whole = np.array([sizes[one['image_id']] for one in objects], float)  # (N, 2), as the next one
    sides = np.sqrt(np.maximum(np.array([one['bbox'][2:] for one in objects], float), 0).prod(axis=1))  # (N,) pixels
    factor = np.minimum(sight.scale[0] / whole.max(axis=1), sight.scale[1] / whole.min(axis=1))
    seen, middle = sides * factor, float(np.median(sides * factor))
    if (small := int((seen < sight.stride).sum())) > MOST * len(seen) and middle > 0:
        needed = ceil(sight.tested * sight.stride / middle / MULTIPLE) * MULTIPLE
        findings.say(
            'warning',
            f'objects smaller than {sight.stride:g} pixels, the finest stride, as the network sees them: {small} of '
            f'{len(seen)}; with --short-side {needed} half of them are larger (memory grows with its square)',
        )
    if sight.grids is None:
        return
    key, grids = sight.grids
    cells = sides / np.sqrt(whole.prod(axis=1)) * max(grids)
    if (small := int((cells < 1).sum())) > MOST * len(cells) and np.median(cells) > 0:
        finer = str([ceil(grid / float(np.median(cells))) for grid in grids]).replace(' ', '')
        findings.say(
            'warning',
            f'objects smaller than a cell of the finest grid, {max(grids)} a side: {small} of {len(cells)}, so '
            f'neighbours share cells; --cfg-options "{key}={finer}" makes half of them larger',
        )


def _resizing(loader: Any) -> Iterator[dict]:
    return (step for _, step in dicts(loader) if type_name(step) in RESIZING)


def _scales(step: dict) -> Iterator[tuple[int, int]]:
    """The (long, short) sides that a step may resize to, at most."""
    scales = step.get('scales') or step.get('scale') or ()
    if isinstance(scales, int) or (scales and all(isinstance(side, int) for side in scales)):
        scales = [scales]
    most = max(step.get('ratio_range') or (1,))
    for scale in scales:
        sides = (scale, scale) if isinstance(scale, int) else scale
        yield int(max(sides) * most), int(min(sides) * most)
