"""What is in a data set, and which config suits it: classes, sizes, crowding, and what each config could learn of it.

>>> result = data_stats('mine')
>>> result.write(folder)  # print(result) shows the tables, result.advice which config to take

No image is read. Sizes, crowding and fits are those of the objects of some images, evenly spread over the files, where
there are many.

Shape shorthand: P files, K classes, I images, N objects of the images that are looked at.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmagg.datasets.coco_file import (
    PARTS,
    CocoFile,
    check_annotations,
    check_keys,
    coco_format,
    is_crowd,
    read_coco,
)
from mmagg.datasets.coco_folder import annotation_file, instead
from mmagg.datasets.findings import printable
from mmagg.experiments.annotated_objects import AnnotatedObjects, annotated_objects, has_mask
from mmagg.experiments.config_fit import OWN, ConfigFit, config_fits, groups, ordered, short_list
from mmagg.experiments.crowding import Crowding, crowding
from mmagg.experiments.data_stats_chart import draw
from mmagg.formats.known import refuse_other_layouts
from mmagg.io.errors import InputError
from mmagg.io.files import require_file, write_json
from mmagg.io.tables import NONE, percent, write_records, write_table

IMAGES = 1000  # looked at: of COCO they have some 7,000 objects, whose shares are known to half a per cent
CLOSE = 0.5  # IoU of boxes from which on NMS takes two objects for one
MOST_SHOWN = 30  # classes that are printed
LARGE_LOSS = 0.1  # share of objects out of reach from which on the advice says what else can be done


@dataclass(frozen=True)
class DataStats:
    """The statistics of a data set. As text: tables of classes, of the objects, and of configs.

    Attributes:
        source: the folder or file.
        parts: names of the P files.
        classes: K names.
        objects: (P, K) int, without crowds.
        having: (P, K) int, images with such objects.
        per_image: (I,) objects of each image.
        images: P numbers of images.
        empty: P numbers of images without objects.
        crowds: regions of many objects.
        maskless: objects without a mask or a box, which no training takes.
        looked_at: images whose objects the rest is about.
        sides: (N,) sqrt(area) in pixels of the image.
        crowding: of the N objects.
        fits: of the configs, the best first.
        listed: whether the configs are those of the short list.
    """

    source: str
    parts: Sequence[str]
    classes: Sequence[str]
    objects: np.ndarray
    having: np.ndarray
    per_image: np.ndarray
    images: Sequence[int]
    empty: Sequence[int]
    crowds: int
    maskless: int
    looked_at: int
    sides: np.ndarray
    crowding: Crowding
    fits: Sequence[ConfigFit]
    listed: bool

    @property
    def more_detections(self) -> int | None:
        """The most objects of an image where that is above the cap of the first config; None where it is not."""
        most, cap = int(self.per_image.max()), self.fits[0].cap
        return most if cap is not None and most > cap else None

    @property
    def advice(self) -> str:
        """One sentence: the config to take and what it misses; where that is much, what else can be done."""
        best = self.fits[0]
        missed = percent(best.share(best.missed))
        text = f'{"take " * self.listed}{best.config}: {missed} % of the objects are out of its reach'
        if self.listed and best.config not in OWN:
            own = next(fit for fit in self.fits if fit.config in OWN)
            text += f' (it wants a GPU; without one {own.config}, {percent(own.share(own.missed))} %)'
        if best.missed < LARGE_LOSS * best.objects:
            return text
        causes = {
            'larger images (--short-side) or tiles of them make objects larger': best.small or 0,
            f'--max-detections {self.per_image.max()} lets it find more': best.beyond,
            'a finer grid (model.mask_head.grids) or a method with boxes keeps neighbours apart': best.lost or 0,
            'its ranges of sizes leave objects out': best.without or 0,
        }
        return f'{text}; {max(causes, key=lambda cause: causes[cause])}'

    def __str__(self) -> str:
        return '\n'.join([*self._class_lines(), '', *self._object_lines(), '', *self._config_lines()])

    def _class_lines(self) -> Iterator[str]:
        width = min(max(map(len, [*self.classes, 'images without objects'])), 40) + 2
        names = ''.join(f'{name:>18}' for name in self.parts)
        yield f'{self.source}: {sum(self.images)} images, {self.objects.sum()} objects of {len(self.classes)} classes'
        yield f'{"":{width}}{names}'
        yield f'{"":{width}}' + f'{"objects":>10}{"images":>8}' * len(self.parts)
        order = np.argsort(-self.objects.sum(axis=0), kind='stable')
        for label in order[:MOST_SHOWN]:
            cells = ''.join(f'{n:10}{m:8}' for n, m in zip(self.objects[:, label], self.having[:, label], strict=True))
            yield f'{printable(self.classes[label])[: width - 2]:{width}}{cells}'
        if len(order) > MOST_SHOWN:
            rest = order[MOST_SHOWN:]
            cells = ''.join(f'{number:10}{"":8}' for number in self.objects[:, rest].sum(axis=1))
            yield f'{f"{len(rest)} more classes":{width}}{cells}'
        yield f'{"all":{width}}' + ''.join(
            f'{n:10}{m:8}' for n, m in zip(self.objects.sum(axis=1), self.images, strict=True)
        )
        yield f'{"images without objects":{width}}' + ''.join(f'{"":10}{number:8}' for number in self.empty)
        if self.crowds or self.maskless:
            yield f'left out: {self.crowds} crowd regions, {self.maskless} objects without a mask or a box'

    def _object_lines(self) -> Iterator[str]:
        if self.looked_at < sum(self.images):
            yield f'from here on: the {len(self.sides)} objects of {self.looked_at} images (--images N looks at more)'
        yield f'{"":44}{"median":>8}{"95 %":>8}{"most":>8}'
        near = self.crowding.distance[np.isfinite(self.crowding.distance)]
        for name, values, digits in (
            ('objects of an image', self.per_image, 0),
            ('size, sqrt(area), in pixels of the image', self.sides, 0),
            ('neighbours whose boxes overlap', self.crowding.neighbours, 0),
            ('greatest IoU with the box of a neighbour', self.crowding.iou, 2),
            ('distance to the nearest centre, in pixels', near, 0),
        ):
            cells = [f'{value:.{digits}f}' for value in summary(values).values()] if len(values) else [NONE] * 3
            yield f'{name:44}' + ''.join(f'{cell:>8}' for cell in cells)
        close = int((self.crowding.iou > CLOSE).sum())
        yield f'{f"objects with a neighbour of IoU above {CLOSE}":44}{percent(close / len(self.sides)):>8} % ({close})'

    def _config_lines(self) -> Iterator[str]:
        if not self.listed:
            yield from map(str, self.fits)
            return
        rows = list(groups(self.fits))
        names = [_name_of(row) for row in rows]
        width = max(map(len, names)) + 2
        columns = f'{"no cell":>9}{"lost":>8}{"small":>8}{"beyond":>8}{"out of reach":>14}'
        yield f'{"per cent of the objects":{width}}{columns}'
        for name, (fit, *_) in zip(names, rows, strict=True):
            numbers = zip((fit.without, fit.lost, fit.small, fit.beyond, fit.missed), (9, 8, 8, 8, 14), strict=True)
            yield f'{name:{width}}' + ''.join(f'{percent(fit.share(number)):>{room}}' for number, room in numbers)
        yield 'lost: all cells or locations go to other objects; small: below the finest stride; beyond: the detections'
        yield 'of an image'

    def report(self) -> dict[str, Any]:
        """All numbers as JSON has them."""
        near = self.crowding.distance[np.isfinite(self.crowding.distance)]
        return {
            'source': self.source,
            'parts': {
                name: {
                    'images': self.images[place],
                    'empty': self.empty[place],
                    'objects': int(self.objects[place].sum()),
                }
                for place, name in enumerate(self.parts)
            },
            'classes': list(self._records()),
            'crowds': self.crowds,
            'maskless': self.maskless,
            'looked_at': self.looked_at,
            'objects_per_image': summary(self.per_image),
            'size': summary(self.sides),
            'neighbours': summary(self.crowding.neighbours),
            'greatest_iou': summary(self.crowding.iou),
            'nearest_centre': summary(near),
            'configs': [fit.report() for fit in self.fits],
            'advice': self.advice,
        }

    def _records(self) -> Iterator[dict[str, Any]]:
        for label, name in enumerate(self.classes):
            counts: dict[str, Any] = {'class': name}
            for place, part in enumerate(self.parts):
                counts[f'{part} objects'] = int(self.objects[place, label])
                counts[f'{part} images'] = int(self.having[place, label])
            yield counts

    def write(self, folder: str | Path) -> None:
        """Write ``classes.csv``, ``configs.csv``, ``data_stats.json`` and ``data_stats.png``."""
        folder = Path(folder)
        columns = ['class', *(f'{part} {what}' for part in self.parts for what in ('objects', 'images'))]
        write_table(columns, (list(record.values()) for record in self._records()), folder / 'classes.csv')
        write_records([fit.record() for fit in self.fits], folder / 'configs.csv')
        write_json(self.report(), folder / 'data_stats.json')
        draw(folder / 'data_stats.png', self.parts, self.classes, self.objects, self.per_image, self.sides, self.fits)


def summary(values: np.ndarray) -> dict[str, float]:
    """Median, 95th percentile and maximum; nothing of no values."""
    if not len(values):
        return {}
    median, high = np.percentile(values, (50, 95)).tolist()
    return {'median': median, '95 %': high, 'most': float(values.max())}


def _name_of(row: Sequence[ConfigFit]) -> str:
    alike = f' and {len(row) - 1} alike' if len(row) > 1 else ''
    return f'{row[0].config}{alike}'


def data_stats(source: str | Path, *, config: str | Path | None = None, images: int = IMAGES) -> DataStats:
    """Count what is in a data set, and what a config could learn of it.

    Args:
        source: an annotation file in COCO format, or a folder with `annotations/instances_{train,val}.json`.
        config: whose strides, grids and sizes count; None: those of `short_list`, of which the best is the first.
        images: the most whose masks are looked at, evenly spread over the files; 0: all.

    Raises:
        InputError: a file or the config cannot be used, or there are no objects.
    """
    source = Path(source)
    files = annotation_files_of(source)
    contents = {name: _read(path) for name, path in files.items()}
    classes = list(dict.fromkeys(str(one['name']) for content in contents.values() for one in content.categories))
    total = sum(len(content.images) for content in contents.values())
    step = max(total / images, 1) if images else 1
    counts = [_count(content, classes) for content in contents.values()]
    if not sum(int(count.objects.sum()) for count in counts):
        raise InputError(f'{source}: no object with a mask (crowds left out), nothing to count')
    objects = AnnotatedObjects.joined([_some(content, step) for content in contents.values()])
    if not len(objects):
        if step == 1:
            raise InputError(f'{source}: no object has a pixel in its image, nothing to count')
        raise InputError(f'{source}: no object in the images that are looked at; --images 0 looks at all')
    names = short_list() if config is None else {str(config): str(config)}
    found = zip(names, config_fits(list(names.values()), objects), strict=True)
    fits = ordered([fit.named(name) for name, fit in found])
    return DataStats(
        source=str(source),
        parts=list(files),
        classes=classes,
        objects=np.stack([count.objects for count in counts]),
        having=np.stack([count.having for count in counts]),
        per_image=np.concatenate([count.per_image for count in counts]),
        images=[len(content.images) for content in contents.values()],
        empty=[int((count.per_image == 0).sum()) for count in counts],
        crowds=sum(count.crowds for count in counts),
        maskless=sum(count.maskless for count in counts),
        looked_at=len(objects.sizes),
        sides=np.sqrt(objects.areas),
        crowding=crowding(objects),
        fits=fits,
        listed=config is None,
    )


def annotation_files_of(source: Path) -> dict[str, Path]:
    """The annotation files of a folder by part, or a file by its name.

    Raises:
        InputError: there are none.
    """
    if not source.is_dir():
        require_file(source, 'annotations')
        return {source.stem.removeprefix('instances_'): source}
    files = {part: annotation_file(source, part) for part in ('train', 'val')}
    there = {part: path for part, path in files.items() if path.exists()}
    if not there:
        refuse_other_layouts(source, flag='')
        raise InputError(f'{source}: no annotations/instances_train.json or instances_val.json{instead(source)}')
    for path in there.values():
        require_file(path, 'annotations')
    return there


def _read(path: Path) -> CocoFile:
    content = read_coco(path, needed=PARTS, filled=('images', 'categories'))
    check_annotations(content)
    check_keys(path, 'category', content.categories, 'name')
    return content


@dataclass(frozen=True)
class _Counts:
    """Of one file: see `DataStats`."""

    objects: np.ndarray
    having: np.ndarray
    per_image: np.ndarray
    crowds: int
    maskless: int


def _count(content: CocoFile, classes: Sequence[str]) -> _Counts:
    label_of = {name: label for label, name in enumerate(classes)}
    labels = {number: label_of[str(one['name'])] for number, one in content.category_by_id.items()}
    with coco_format(content.path):
        known = [one for one in content.annotations if one['image_id'] in content.image_by_id]
        kinds = Counter(is_crowd(one) for one in known if one['category_id'] in labels)
        pairs = Counter((one['image_id'], labels[one['category_id']]) for one in known if has_mask(one, content))
    objects, having = (np.zeros(len(classes), int) for _ in range(2))
    per_image = dict.fromkeys(content.image_by_id, 0)
    for (image, label), number in pairs.items():
        objects[label] += number
        having[label] += 1
        per_image[image] += number
    return _Counts(objects, having, np.array(list(per_image.values())), kinds[1], kinds[0] - int(objects.sum()))


def _some(content: CocoFile, step: float) -> AnnotatedObjects:
    """The objects of every `step`-th image."""
    number = len(content.images)
    places = np.arange(max(round(number / step), 1)) * number // max(round(number / step), 1)
    return annotated_objects(content, [content.images[place] for place in places])
