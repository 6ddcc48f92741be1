"""Synthetic scenes for instance segmentation: textured, overlapping shapes in COCO format.

Each class has its shape and a typical hue; brightness, saturation, texture, size and rotation vary. Objects are painted
back to front into an owner map: pixel → object. A mask holds the pixels that its object owns, so masks are disjoint and
show the visible parts alone.

Shape shorthand: N objects, S image side, (h, w) a crop of the image.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, read_json
from mmagg.io.folders import folder_written_whole
from mmagg.rle.codes import masks_to_rle, rle_area, rle_boxes

CLASSES = ('circle', 'square', 'triangle', 'star', 'ring')

# Diameters as a share of the image side, and the share of an object that must stay visible.
MIN_DIAMETER, MAX_DIAMETER = 0.28, 0.7
OBJECTS = (2, 6)  # of an image, unless it is empty
MIN_VISIBLE = 0.4
HUE_SPREAD = 20  # degrees to either side of a class's typical hue
MAX_TILT = np.pi / 8  # rotation, radians; a square does not become a diamond
EMPTY_SHARE = 0.02  # of the images have no objects
SPLIT_SEEDS = {'train': 0, 'val': 1}

DESCRIPTION = 'mmagg shapes'  # with which that of a generated data set starts
_SUBPIXEL_BITS = 4  # of cv2.fillPoly's fixed-point coordinates

# What `write_shapes` writes, below its folder.
OWN_NAME = re.compile(r'annotations(/instances_(train|val)\.json)?|images(/(train|val)(/\d{6}\.png)?)?')


@dataclass(frozen=True)
class Scene:
    """One image and its instances.

    Attributes:
        image: (S, S, 3) uint8, BGR.
        owner: (S, S) int32, the object that each pixel shows, from 1 on; 0 is the background.
        labels: (N,) int64, indices into `CLASSES`.
    """

    image: np.ndarray
    owner: np.ndarray
    labels: np.ndarray

    @property
    def masks(self) -> np.ndarray:
        """(N, S, S) bool, the visible pixels of each object; disjoint."""
        return self.owner == np.arange(1, len(self.labels) + 1)[:, None, None]


def _regular(corners: int, *, inner: float | None = None) -> np.ndarray:
    """Corners of a regular polygon in the unit circle, one up; with `inner`, of a star. Returns (P, 2)."""
    count = corners if inner is None else 2 * corners
    angle = np.arange(count) * (2 * np.pi / count) - np.pi / 2
    radius = np.ones(count)
    if inner is not None:
        radius[1::2] = inner
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


# Outline of each class, in `CLASSES` order: rings of points in the unit circle; the second ring is a hole.
_DISC = _regular(48)
_OUTLINES = (
    (_DISC,),
    (_regular(4) @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2),),
    (_regular(3),),
    (_regular(5, inner=0.45),),
    (_DISC, 0.55 * _DISC[::-1]),
)


def _object_colour(rng: np.random.Generator, label: int, others: list[np.ndarray]) -> np.ndarray:
    """Of four BGR colours of the class's hue the one farthest from `others`, so that the object can be seen."""
    degrees = 360 * label / len(CLASSES) + rng.uniform(-HUE_SPREAD, HUE_SPREAD, 4)
    hsv = np.stack([degrees % 360, rng.uniform(0.45, 1, 4), rng.uniform(0.4, 1, 4)], axis=1).astype(np.float32)
    colours = 255 * cv2.cvtColor(hsv[None], cv2.COLOR_HSV2BGR)[0].astype(np.float64)
    distance = np.linalg.norm(colours[:, None] - np.stack(others), axis=2).min(axis=1)
    return colours[distance.argmax()]


def _noise(rng: np.random.Generator, h: int, w: int, cell: float) -> np.ndarray:
    """Smooth noise with blobs of about `cell` pixels; (h, w) float32 in [-1, 1]."""
    grid = rng.uniform(-1, 1, (int(h / cell) + 2, int(w / cell) + 2)).astype(np.float32)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC).clip(-1, 1)


def _texture(rng: np.random.Generator, h: int, w: int, scale: float) -> np.ndarray:
    """Plain, stripes, dots, checks or noise, with a period of about `scale` pixels; (h, w) in [-1, 1]."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    frequency = 2 * np.pi / scale
    u = (x * np.cos(angle) + y * np.sin(angle)) * frequency + phase
    v = (y * np.cos(angle) - x * np.sin(angle)) * frequency
    kind = rng.integers(5)
    if kind == 0:
        return np.zeros((h, w), np.float32)
    if kind == 1:
        return np.sin(u)
    if kind == 2:
        return np.where(np.cos(u) + np.cos(v) > 0.9, 1, -0.4).astype(np.float32)
    if kind == 3:
        return np.sign(np.sin(u) * np.sin(v))
    return _noise(rng, h, w, scale / 2)


def _background(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A noisy gradient between two colours under a texture; returns (S, S, 3) float32 and the two colours."""
    start = rng.uniform(20, 235, 3)
    end = start + rng.uniform(-70, 70, 3)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    blend = 0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)
    blend = blend + 0.3 * _noise(rng, size, size, size / rng.uniform(2, 8))
    image = start + blend[..., None] * (end - start)
    pattern = _texture(rng, size, size, size / rng.uniform(6, 24))
    image += (rng.uniform(4, 22) * pattern)[..., None]
    return image.astype(np.float32), [start, end]


def _outline(rng: np.random.Generator, label: int, radius: float, centre: np.ndarray) -> list[np.ndarray]:
    """The rings of a class, slightly rotated and stretched, in pixels; a list of (P, 2)."""
    tilt = rng.uniform(-MAX_TILT, MAX_TILT)
    rotation = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    stretch = np.array([1, rng.uniform(0.8, 1)])
    return [radius * (ring * stretch) @ rotation + centre for ring in _OUTLINES[label]]


def _place(rng: np.random.Generator, owner: np.ndarray, radius: float) -> np.ndarray:
    """A centre (x, y) for the next object: anywhere, or as often on or beside an earlier object."""
    taken = np.flatnonzero(owner)
    if taken.size == 0 or rng.random() < 0.5:
        return rng.uniform(0, owner.shape[0], 2)
    y, x = np.unravel_index(rng.choice(taken), owner.shape)
    return np.array([x, y]) + rng.uniform(-radius, radius, 2)


def _rasterise(rings: list[np.ndarray], size: int) -> np.ndarray:
    """Fills rings (even-odd: the second is a hole); (S, S) bool."""
    mask = np.zeros((size, size), np.uint8)
    fixed = [np.round(ring * (1 << _SUBPIXEL_BITS)).astype(np.int32) for ring in rings]
    cv2.fillPoly(mask, fixed, 1, shift=_SUBPIXEL_BITS)
    return mask.astype(bool)


def _paint(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, colour: np.ndarray, radius: float) -> None:
    """Paints one object in place: its colour, a texture and light from one side."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    pattern = rng.uniform(15, 55) * _texture(rng, h, w, max(4.0, radius * rng.uniform(0.25, 0.8)))
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    light = rng.uniform(0, 25) * (columns * np.cos(angle) + rows * np.sin(angle))
    tint = rng.uniform(0.7, 1, 3)  # the texture's own colour
    crop = np.s_[y : y + h, x : x + w]
    inside = mask[crop]
    image[crop][inside] = (colour + pattern[..., None] * tint + light[..., None])[inside]


def draw_scene(
    rng: np.random.Generator,
    size: int,
    *,
    objects: tuple[int, int] = OBJECTS,
    diameters: tuple[float, float] | None = None,
) -> Scene:
    """Draws one scene of some objects (sometimes none).

    Args:
        rng: Source of all randomness; the same state gives the same scene.
        size: Image side S in pixels.
        objects: Least and most objects.
        diameters: Least and largest diameter in pixels; by default a share of the side.

    Returns:
        The image with the visible masks and labels, back to front.
    """
    image, palette = _background(rng, size)
    owner: np.ndarray = np.zeros((size, size), np.int32)  # 0 is the background, i + 1 object i
    full_areas: list[float] = []
    visible: np.ndarray = np.zeros(0, np.int64)
    labels: list[int] = []
    wanted = 0 if rng.random() < EMPTY_SHARE else rng.integers(objects[0], objects[1] + 1)
    shares = (MIN_DIAMETER, MAX_DIAMETER) if diameters is None else (diameters[0] / size, diameters[1] / size)
    for diameter in size * np.exp(rng.uniform(np.log(shares[0]), np.log(shares[1]), wanted)):
        label = int(rng.integers(len(CLASSES)))
        for _ in range(10):  # places to try; an object that fits nowhere is left out
            rings = _outline(rng, label, diameter / 2, _place(rng, owner, diameter / 2))
            mask = _rasterise(rings, size)
            areas = [*full_areas, cv2.contourArea(rings[0].astype(np.float32))]
            if len(rings) > 1:
                areas[-1] -= cv2.contourArea(rings[1].astype(np.float32))
            x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
            crop = np.s_[y : y + h, x : x + w]
            hidden = np.bincount(owner[crop][mask[crop]], minlength=len(areas))[1:]
            left = np.append(visible - hidden, np.count_nonzero(mask[crop]))
            # No object may be cut off by the border, or hidden by others, to a remnant.
            if (left >= MIN_VISIBLE * np.array(areas)).all():
                colour = _object_colour(rng, label, palette)
                _paint(rng, image, mask, colour, diameter / 2)
                palette.append(colour)
                labels.append(label)
                owner[crop][mask[crop]] = len(areas)
                visible, full_areas = left, areas
                break
    cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 0.8), dst=image)  # no pixel-sharp edges
    image += rng.normal(0, rng.uniform(1, 7), image.shape)
    return Scene(image.clip(0, 255).astype(np.uint8), owner, np.array(labels, np.int64))


def scene_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """The random generator of one image; by its place alone, so that the order of drawing does not matter."""
    return np.random.default_rng([seed, SPLIT_SEEDS[split], index])


def coco_annotation(mask: np.ndarray, **fields: int) -> dict:
    """The COCO annotation of a (H, W) mask: compressed RLE, exact box and area, and `fields` (ids)."""
    (rle,) = masks_to_rle(mask[None])
    return {**fields, 'bbox': rle_boxes([rle])[0].tolist(), 'area': rle_area(rle), 'iscrowd': 0, 'segmentation': rle}


def _in_order(function: Callable[[int], Scene], count: int, workers: int) -> Iterator[Scene]:
    """A `map` over `range(count)` on threads, in order, with a bounded number of results in memory."""
    with ThreadPoolExecutor(workers) as pool:
        indices = iter(range(count))
        pending = [pool.submit(function, index) for index in islice(indices, 4 * workers)]
        while pending:
            yield pending.pop(0).result()
            pending += [pool.submit(function, index) for index in islice(indices, 1)]


def _write_split(root: Path, split: str, count: int, size: int, seed: int, **options: Any) -> None:
    folder = root / 'images' / split
    folder.mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []

    def draw(index: int) -> Scene:
        scene = draw_scene(scene_generator(seed, split, index), size, **options)
        path = folder / f'{index:06d}.png'
        encoded = cv2.imencode('.png', scene.image)[1]  # lossless, so that masks and edges agree
        path.write_bytes(encoded.tobytes())
        return scene

    scenes = _in_order(draw, count, workers=os.cpu_count() or 1)
    for index, scene in enumerate(tqdm(scenes, total=count, desc=split, unit='image')):
        images.append({'id': index + 1, 'file_name': f'{index:06d}.png', 'width': size, 'height': size})
        for place, label in enumerate(scene.labels.tolist(), 1):
            ids = {'id': len(annotations) + 1, 'image_id': index + 1, 'category_id': label + 1}
            annotations.append(coco_annotation(scene.owner == place, **ids))
    categories = [{'id': i, 'name': name, 'supercategory': 'shape'} for i, name in enumerate(CLASSES, 1)]
    content = {
        'info': {'description': f'{DESCRIPTION}, {split}, {count} images, size {size}, seed {seed}'},
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def check_numbers(
    *,
    images: int,
    val_images: int,
    size: int,
    seed: int,
    objects: tuple[int, int] = OBJECTS,
    diameters: tuple[float, float] | None = None,
) -> None:
    """Refuse arguments of `write_shapes` that are out of range, by an `InputError`."""
    for name, value, least in (
        ('images', images, 1),
        ('val_images', val_images, 1),
        ('size', size, 32),
        ('seed', seed, 0),
    ):
        if value < least:
            raise InputError(f'{name} is {value}, must be at least {least}')
    if not 1 <= objects[0] <= objects[1]:
        raise InputError(f'objects are {objects[0]} to {objects[1]}, must be at least 1, the second not less')
    if diameters is not None and not 8 <= diameters[0] <= diameters[1] <= size:
        raise InputError(f'diameters are {diameters[0]} to {diameters[1]}, must be from 8 to the image side, {size}')


def _foreign(folder: Path) -> str | None:
    """The name of a file or folder in ``folder`` that `write_shapes` did not write; None if all are its own."""
    for path in sorted(folder.rglob('*')):
        name = path.relative_to(folder).as_posix()
        if not OWN_NAME.fullmatch(name):
            return name
        if path.suffix == '.json':
            try:
                own = read_json(path)['info']['description'].startswith(DESCRIPTION)
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                own = False
            if not own:
                return name
    return None


def write_shapes(
    out: Path,
    *,
    images: int,
    val_images: int,
    size: int,
    seed: int,
    objects: tuple[int, int] = OBJECTS,
    diameters: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a data set: `out/annotations/instances_{train,val}.json` and `out/images/{train,val}/*.png`.

    The same arguments give the same bytes. Everything is written to a temporary folder beside `out`, which
    then takes its name: there is never half a data set, see `folder_written_whole`.

    Args:
        out: Folder to make.
        images: Number of training images.
        val_images: Number of validation images; none of them is a training image.
        size: Image side in pixels, at least 32.
        seed: Not negative; other seeds give other scenes.
        objects: Least and most objects of an image; where there is no room, fewer.
        diameters: Their least and largest diameter in pixels; by default a share of the side.
        overwrite: Replace a generated data set that is already there.

    Raises:
        InputError: An argument is out of range; or `out` is a file, or holds something and `overwrite` is not set, or
            holds anything but a generated data set; or another process is writing it.
    """
    check_numbers(images=images, val_images=val_images, size=size, seed=seed, objects=objects, diameters=diameters)
    check_folder(Path(out), 'OUT')
    out = Path(os.path.realpath(out))
    with folder_written_whole(out) as draft:
        _check_content(out, overwrite=overwrite)
        (draft / 'annotations').mkdir()
        for split, count in (('train', images), ('val', val_images)):
            _write_split(draft, split, count, size, seed, objects=objects, diameters=diameters)


def _check_content(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, or, if it may be replaced, anything but a generated data set."""
    content = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if content and not overwrite:
        way = ' or pass --overwrite' if _foreign(out) is None else ''
        raise InputError(f'{out} is not empty; choose another folder{way}')
    if content and (foreign := _foreign(out)) is not None:  # overwriting deletes the whole folder
        raise InputError(f'{out} holds more than a data set of shapes ({foreign}); choose another folder')
