"""How many of a data set's objects a config could learn at all: their cells, their sizes, their number in an image.

Shape shorthand: I images, N objects of all images, L levels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmagg.apis.config import load_config, shipped_config
from mmagg.datasets.network_sizes import Size, network_sizes
from mmagg.datasets.sight import Sight
from mmagg.engine.detection_cap import detection_cap
from mmagg.experiments.annotated_objects import AnnotatedObjects
from mmagg.experiments.object_places import (
    Level,
    Seen,
    assigning_head,
    mask_pixels,
    network_scale,
    object_places,
)
from mmagg.io.tables import NONE, percent

ENDLESS = 2048  # pixels: no image is larger for these heads
METHODS = 'blendmask', 'solov2', 'aggmask-solo', 'aggmask-solov2', 'meinst'
OWN = [f'own/{method}_lite0_{neck}_{size}' for neck, method, size in product(('fpn', 'a2fpn'), METHODS, (320, 512))]
LARGE = [
    'blendmask/blendmask_r50_fpn_3x_coco',
    'solov2/solov2_r50_fpn_3x_coco',
    'solo/solo_r50_fpn_3x_coco',
    'solo/decoupled-solo_r50_fpn_3x_coco',
    'aggmask/aggmask-solo_r50_fpn_3x_coco',
    'aggmask/aggmask-solov2_r50_fpn_6x_coco',
    'meinst/meinst_r50_fpn_3x_coco',
]
SHORT_LIST = [*OWN, *LARGE]
"""Shipped configs, the one to try first in front; A²-FPN has the grids and strides of FPN."""


@dataclass(frozen=True)
class ConfigFit:
    """What of N objects is out of a config's reach; an object may count in several of the first four numbers.

    Attributes:
        config: its name.
        image: median (height, width) that the network sees, in pixels.
        objects: N.
        without: objects that no cell or location is for, even if they were alone; None where the assigner is not ours.
        lost: those that lose all of theirs to others; None likewise.
        small: those of which sqrt(area), as the network sees them, is below `stride`; None where that is not known.
        beyond: those above `cap` in their images.
        missed: all of these together, each object once.
        stride: the finest of the heads, in pixels of the network's image.
        cap: the most detections of an image; None: any number.
        levels: of the head.
        mask_pixels: the smallest that a mask of each can show, in pixels of the network's image.
        on_level: objects that have a cell or location there, for each level; most have some on two.
    """

    config: str
    image: Size
    objects: int
    without: int | None
    lost: int | None
    small: int | None
    beyond: int
    missed: int
    stride: float | None
    cap: int | None
    levels: Sequence[Level] = ()
    mask_pixels: Sequence[int | None] = ()
    on_level: Sequence[int] = ()

    def named(self, config: str) -> 'ConfigFit':
        """The same of a config of another name."""
        return replace(self, config=config)

    def share(self, number: int | None) -> float | None:
        """A number of objects as a fraction of all."""
        return None if number is None else number / self.objects

    def record(self) -> dict[str, Any]:
        """The numbers for a file, levels left out."""
        values = {
            name: value
            for name, value in vars(self).items()
            if name not in ('image', 'levels', 'mask_pixels', 'on_level')
        }
        return values | {'height': self.image[0], 'width': self.image[1]}

    def report(self) -> dict[str, Any]:
        """All numbers as JSON has them."""
        rows = zip(self.levels, self.mask_pixels, self.on_level, strict=True)
        levels = [asdict(level) | {'mask_pixel': pixel, 'objects': count} for level, pixel, count in rows]
        return self.record() | {'levels': levels}

    def __str__(self) -> str:
        place = 'cell' if any(level.grid for level in self.levels) else 'location'
        height, width = self.image
        lines = [f'{self.config}: the network sees images of {height} x {width} pixels (median)']
        if self.levels:
            lines.append(
                f'{"level":5}{"stride":>8}{"grid":>6}{"cell":>8}{"for sizes":>14}{"mask pixel":>12}{"objects":>16}'
            )
        rows = zip(self.levels, self.mask_pixels, self.on_level, strict=True)
        for number, (level, pixel, count) in enumerate(rows):
            cell = NONE if level.grid is None else f'{max(height, width) / level.grid:.0f}'
            lines.append(
                f'{number:<5}{level.stride:8}{level.grid or NONE:>6}{cell:>8}{_range(level):>14}'
                f'{pixel or NONE:>12}{_counted(count, self.objects):>16}'
            )
        cap = 'beyond the detections of an image' if self.cap is None else f'beyond {self.cap} detections an image'
        small = 'too small to see' if self.stride is None else f'below {self.stride:g} pixels, the finest stride'
        for name, number_of in (
            (f'objects without a {place}', self.without),
            (f'objects that lose every {place} to others', self.lost),
            (f'objects {small}', self.small),
            (f'objects {cap}', self.beyond),
            ('out of reach, all together', self.missed),
        ):
            lines.append(f'{name:52}{NONE if number_of is None else _counted(number_of, self.objects)}')
        return '\n'.join(lines)


def _range(level: Level) -> str:
    if level.sizes is None:
        return NONE
    low, high = max(level.sizes[0], 0), level.sizes[1]
    return f'from {low:g}' if high >= ENDLESS else f'{low:g} to {high:g}'


def _counted(part: int, whole: int) -> str:
    return f'{percent(part / whole)} % ({part})'


def config_fits(configs: Sequence[str | Path], objects: AnnotatedObjects) -> list[ConfigFit]:
    """The fits of configs; those that agree in all that counts are computed once.

    Args:
        configs: names as of `load_config`.
        objects: N of them, at least one.

    Raises:
        InputError: a config or its test pipeline cannot be used.
    """
    known: dict[str, ConfigFit] = {}
    seen: dict[str, Seen] = {}
    fits = []
    for config in configs:
        cfg = load_config(config)
        view, rest = _deciding(cfg)
        if view not in seen:
            seen[view] = network_sizes(cfg, objects.sizes)
        if view + rest not in known:
            known[view + rest] = _fit(str(config), cfg, objects, seen[view])
        head = assigning_head(cfg)
        pixels = () if head is None else tuple(mask_pixels(cfg, head))
        fits.append(replace(known[view + rest], config=str(config), mask_pixels=pixels))
    return fits


def short_list() -> dict[str, str]:
    """The files of `SHORT_LIST` by their names there."""
    return {name: str(shipped_config(f'{name}.py')) for name in SHORT_LIST}


def ordered(fits: Sequence[ConfigFit]) -> list[ConfigFit]:
    """By what is out of reach, in whole per cent: a smaller difference tells nothing, and the given order counts."""
    return sorted(fits, key=lambda fit: round(100 * fit.missed / fit.objects))


def groups(fits: Sequence[ConfigFit]) -> Iterator[list[ConfigFit]]:
    """Those with the same numbers together, in the order of the first of each."""
    found: dict[ConfigFit, list[ConfigFit]] = {}
    for fit in fits:
        found.setdefault(replace(fit, config='', levels=(), mask_pixels=(), on_level=()), []).append(fit)
    yield from found.values()


def _deciding(cfg: Config) -> tuple[str, str]:
    """What decides how the network sees images, and what else decides a fit, as text to compare."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    view = repr((dataset, (cfg.model.get('data_preprocessor') or {}).get('pad_size_divisor')))
    head = assigning_head(cfg) or {}
    keys = 'assigner', 'strides', 'grids'
    return view, repr(([head.get(key) for key in keys], Sight.of(cfg), detection_cap(cfg)))


def _fit(name: str, cfg: Config, objects: AnnotatedObjects, seen: Seen) -> ConfigFit:
    number = len(objects)
    head, sight, cap = assigning_head(cfg), Sight.of(cfg), detection_cap(cfg)
    places = None if head is None else object_places(head, objects, seen)
    owns = np.ones(number, bool) if places is None else places.owns
    sides = np.sqrt(objects.areas * network_scale(objects, seen).prod(axis=1))
    small = np.zeros(number, bool) if sight is None else sides < sight.stride
    limit = number if cap is None else cap.limit
    counts, reached = (np.bincount(objects.images[kept]) for kept in (slice(None), owns & ~small))
    shown = np.array([seen[size][0] for size in objects.sizes])
    return ConfigFit(
        name,
        (int(np.median(shown[:, 0])), int(np.median(shown[:, 1]))),
        number,
        None if places is None else int((~places.fits).sum()),
        None if places is None else int((places.fits & ~owns).sum()),
        None if sight is None else int(small.sum()),
        int(np.maximum(counts - limit, 0).sum()),
        number - int(np.minimum(reached, limit).sum()),
        None if sight is None else sight.stride,
        None if cap is None else cap.limit,
        () if places is None else tuple(places.levels),
        (),
        () if places is None else tuple((places.on_level > 0).sum(axis=0).tolist()),
    )
