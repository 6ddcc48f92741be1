"""How well centres and sizes tell the objects of an image apart, and how many cells learn one (SOLO, Sec. 1 and 2.3).

Shape shorthand: N objects of all images.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmagg.apis.config import load_config, shipped_config
from mmagg.datasets.coco_file import PARTS, check_annotations, read_coco
from mmagg.datasets.config_parts import type_name
from mmagg.datasets.network_sizes import network_sizes
from mmagg.experiments.annotated_objects import annotated_objects, pairs_of_images
from mmagg.experiments.object_places import GRID, assigning_head, object_places
from mmagg.io.errors import InputError

CONFIG = 'solo/solo_r50_fpn_3x_coco.py'
CENTRES = ('mass', 'box')


@dataclass(frozen=True)
class ObjectStatistics:
    """The statistics of an annotation file; a pair is of two objects of an image, of any classes.

    Attributes:
        annotations: the file.
        config: whose assigner chose the cells.
        images: all of the file.
        objects: those that are no crowd and have a mask.
        centre: 'mass' or 'box'.
        distance: in pixels of the image.
        ratio: of sqrt(w * h) of two boxes.
        pairs: of objects.
        apart: pairs of which the centres are further than `distance` apart.
        unequal: the other pairs of which the sizes are more than `ratio` times each other.
        claims: cells that objects claim.
        positives: cells that learn an object: claimed ones, once each unless the assigner duplicates them.
        levels: object and level, wherever an object claims cells of a level; most are on two of them.
        without: objects that claim no cell.
    """

    annotations: str
    config: str
    images: int
    objects: int
    centre: str
    distance: float
    ratio: float
    pairs: int
    apart: int
    unequal: int
    claims: int
    positives: int
    levels: int
    without: int

    @property
    def apart_share(self) -> float | None:
        """The share of pairs that centres tell apart; None without pairs."""
        return self.apart / self.pairs if self.pairs else None

    @property
    def unequal_share(self) -> float | None:
        """The share of the other pairs that sizes tell apart; None without them."""
        rest = self.pairs - self.apart
        return self.unequal / rest if rest else None

    @property
    def positives_per_object(self) -> float:
        """Cells that learn an object, per object."""
        return self.positives / self.objects

    @property
    def cells_per_level(self) -> float:
        """Cells that an object claims on a level where it claims some."""
        return self.claims / max(self.levels, 1)

    def __str__(self) -> str:
        rest = self.pairs - self.apart
        return '\n'.join(
            (
                f'{self.annotations}: {self.images} images, {self.objects} objects, crowds left out',
                f'pairs of objects of an image                        {self.pairs}',
                f'centres more than {self.distance:g} pixels apart'.ljust(52) + _share(self.apart, self.pairs),
                f'of the other {rest}: sizes differ more than {self.ratio:g} times'.ljust(52)
                + _share(self.unequal, rest),
                'positive cells per object'.ljust(52) + f'{self.positives_per_object:.2f}',
                'cells claimed per object and level'.ljust(52) + f'{self.cells_per_level:.2f}',
                'levels per object'.ljust(52) + f'{self.levels / self.objects:.2f}',
                'objects without a cell'.ljust(52) + _share(self.without, self.objects),
            )
        )


def _share(part: int, whole: int) -> str:
    return f'{100 * part / whole:.1f} % ({part})' if whole else 'none'


def object_statistics(
    annotations: str | Path,
    *,
    config: str | Path | None = None,
    centre: str = 'mass',
    distance: float = 30,
    ratio: float = 1.5,
) -> ObjectStatistics:
    """Count pairs of objects that centres and sizes tell apart, and the grid cells that learn an object.

    Args:
        annotations: a file in COCO format; crowds are left out.
        config: the assigner and the test pipeline's size of images, as padded alone, are its; None: SOLO R-50's.
        centre: that of the mask's mass (Sec. 2.3), or of its 'box'; the assigner has the former in any case.
        distance: in pixels of the image.
        ratio: of sqrt(w * h) of the annotated boxes, by which SOLO chooses levels.

    Raises:
        InputError: the file, the config, the distance or the ratio cannot be used, or there are no objects.
    """
    if centre not in CENTRES:
        raise InputError(f'--centre {centre}: choose {" or ".join(CENTRES)}')
    if not 0 <= distance < math.inf:
        raise InputError(f'--distance {distance:g}: pixels from 0 on are wanted')
    if not 1 <= ratio < math.inf:
        raise InputError(f'--ratio {ratio:g}: of the larger size to the smaller, from 1 on')
    name = str(config or shipped_config(CONFIG))
    cfg = load_config(name)
    head = assigning_head(cfg)
    if head is None or type_name(head['assigner']) != GRID:
        raise InputError(f"config {name}: its head has no GridCellAssigner; name one of SOLO's family")
    content = read_coco(annotations, needed=PARTS, filled=('images',))
    check_annotations(content)
    objects = annotated_objects(content)
    if not len(objects):
        raise InputError(f'{annotations}: no object with a mask (crowds left out), nothing to count')
    places = object_places(head, objects, network_sizes(cfg, objects.sizes))
    centres = objects.centres if centre == 'mass' else (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    pairs = pair_counts(objects.images, centres, objects.sides, distance=distance, ratio=ratio)
    return ObjectStatistics(
        str(annotations),
        name,
        len(content.images),
        len(objects),
        centre,
        distance,
        ratio,
        *pairs,
        claims=int(places.on_level.sum()),
        positives=int(places.positives.sum()),
        levels=int((places.on_level > 0).sum()),
        without=int((~places.fits).sum()),
    )


def pair_counts(
    images: np.ndarray, centres: np.ndarray, sides: np.ndarray, *, distance: float, ratio: float
) -> tuple[int, int, int]:
    """Pairs of objects of an image, and those that centres, and of the others that sizes tell apart; memory of O(N).

    Args:
        images: (N,) index of each object's image, ascending.
        centres: (N, 2) in pixels.
        sides: (N,) sizes in pixels.
        distance: centres further apart than this are told apart.
        ratio: so are sizes of a larger ratio.

    Returns:
        the numbers of all pairs, of those with distant centres, and of the others with different sizes.
    """
    pairs = apart = unequal = 0
    for first, second in pairs_of_images(images):
        near = np.hypot(*(centres[first] - centres[second]).T) <= distance
        one, other = sides[first[near]], sides[second[near]]
        pairs, apart = pairs + len(first), apart + int((~near).sum())
        unequal += int((np.maximum(one, other) > ratio * np.minimum(one, other)).sum())
    return pairs, apart, unequal
