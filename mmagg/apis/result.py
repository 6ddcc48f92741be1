"""What was found in an image, in NumPy, and the ways out to files and to other packages.

Shape shorthand: N instances, (H, W) image size in pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagg.apis.instances import found_of, instances_of
from mmagg.formats import coco_json, geojson, label_studio, packages
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.image_files import check_tolerance, format_of, write_image_file
from mmagg.io.errors import InputError
from mmagg.io.image_windows import opened_or_read
from mmagg.io.images import KEPT_SUFFIXES, read_image, write_image
from mmagg.io.paths import keep_apart
from mmagg.rle.codes import decode_mask, decode_window, instance_boxes
from mmagg.rle.polygons import Polygon, mask_polygons
from mmagg.runtime.found import Found
from mmagg.visualization.picture import draw_picture

FAR = 1e6  # pixels of a tolerance beyond which it is no number that somebody meant

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The instances in an image.

        for one in result:
            print(one.names[0], one.scores[0], one.masks()[0].sum())
        result[result.scores > 0.5].save('street.json')

    `result[…]` has some of the instances: by an index, a slice, a list of indices or (N,) bool.

    Attributes:
        size: (H, W) in pixels.
        classes: the names of the classes, by label.
        boxes: (N, 4) float, x1, y1, x2, y2 in pixels.
        scores: (N,) float, from 0 to 1.
        labels: (N,) int, from 0.
        rles: N masks as compressed RLE dicts, see `mmagg.rle.codes`; N times None where the model finds boxes alone.
        name: the image's file, with slashes below the folder that was given, or that holds all of a list; ``image_0``
            for the first one in memory.
        path: the image's file; None for one in memory.
        pixels: (H, W, 3) uint8 BGR of an image in memory, the array itself; None for a file, which is read on demand.
        tracks: (N,) int, ids of the objects through a video; None elsewhere.
    """

    size: tuple[int, int]
    classes: tuple[str, ...]
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rles: tuple[dict | None, ...] = ()
    name: str = 'image_0'
    path: Path | None = None
    pixels: np.ndarray | None = None
    tracks: np.ndarray | None = None

    @classmethod
    def of(cls, found: 'InstanceData', size: tuple[int, int], classes: Sequence[str], **image: Any) -> 'Result':
        """The result of a model's predictions for an image.

        Args:
            found: labels, scores, bboxes and, if the model has them, masks, in any of the forms that masks have.
            size: (H, W).
            classes: names by label.
            image: `name`, `path`, `pixels`, `tracks`.
        """
        return cls.of_found(found_of(found, size), classes, **image)

    @classmethod
    def of_found(cls, found: Found, classes: Sequence[str], **image: Any) -> 'Result':
        """As `of`, of predictions in NumPy."""
        masks = None if None in found.rles else found.rles
        boxes = instance_boxes(found.boxes, masks, count=len(found.labels)).astype(np.float32)
        return cls(
            size=found.size,
            classes=tuple(classes),
            boxes=boxes,
            scores=found.scores,
            labels=found.labels,
            rles=found.rles,
            **image,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """On one line, without the arrays: ``<Result of photo.jpg, 640 x 480 pixels: 6 date, 2 hazelnut, 1 fig>``."""
        height, width = self.size
        found = ', '.join(f'{count} {name}' for name, count in Counter(self.names).most_common())
        return f'<Result of {self.name}, {width} x {height} pixels: {found or "nothing"}>'

    def __getitem__(self, which: int | slice | Sequence[int] | np.ndarray) -> 'Result':
        """The result with some of the instances, in this order.

        Raises:
            IndexError: there is no such instance.
        """
        if isinstance(which, Sequence):
            which = np.asarray(which, None if len(which) else int)
        at = np.atleast_1d(np.arange(len(self))[which])
        return replace(
            self,
            boxes=self.boxes[at],
            scores=self.scores[at],
            labels=self.labels[at],
            rles=tuple(self.rles[i] for i in at.tolist()),
            tracks=None if self.tracks is None else self.tracks[at],
        )

    def __iter__(self) -> Iterator['Result']:
        return (self[i] for i in range(len(self)))

    @property
    def names(self) -> list[str]:
        """The N instances' classes, by name."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 BGR: the array that was given, or the file, read at each call.

        Raises:
            InputError: the file cannot be read any more, or there is none.
        """
        source = self._source()
        return source if isinstance(source, np.ndarray) else read_image(source)

    @property
    def pred_instances(self) -> 'InstanceData':
        """The instances as a sample of MMDetection has them: labels, scores, bboxes, and masks, a list of RLE."""
        return instances_of(Found(self.size, self.boxes, self.scores, self.labels, self.rles))

    def masks(self) -> np.ndarray:
        """(N, H, W) bool, decoded at each call: 400 MB for 100 instances in an image of 4 megapixels.

        Raises:
            InputError: the model finds boxes alone.
        """
        masks = np.zeros((len(self), *self.size), bool)
        for mask, rle in zip(masks, self._rles(), strict=True):
            mask[:] = decode_mask(rle)
        return masks

    def polygons(self, tolerance: float = 0.0) -> list[list[Polygon]]:
        """The outlines of N masks, each a list of polygons, each a list of rings: the outer one, then its holes.

        Args:
            tolerance: pixels by which outlines may be simplified; 0 keeps each corner.

        Returns:
            Rings are (n, 2) x, y in pixels, see `mmagg.rle.polygons`.

        Raises:
            InputError: the model finds boxes alone, or `tolerance` is no number of pixels.
        """
        if not 0 <= tolerance < FAR:
            raise InputError(f'tolerance {tolerance}: pixels, from 0 on')
        return [mask_polygons(rle, tolerance=tolerance) for rle in self._rles()]

    def crop(self, index: int, *, masked: bool = False) -> np.ndarray:
        """The part of the image in the box of an instance.

        Args:
            index: of the instance.
            masked: with the mask as alpha, which is 255 inside.

        Returns:
            (h, w, 3) uint8 BGR, or (h, w, 4) BGR and alpha; of at least one pixel.

        Raises:
            InputError: the image cannot be read, or a mask is wanted where the model finds boxes alone.
        """
        height, width = self.size
        x1, y1 = np.floor(self.boxes[index, :2]).astype(int).clip(0, [width - 1, height - 1])
        x2, y2 = np.ceil(self.boxes[index, 2:]).astype(int).clip([x1 + 1, y1 + 1], [width, height])
        with opened_or_read(self._source()) as windows:
            part = windows.read(int(x1), int(y1), int(x2 - x1), int(y2 - y1))
        if not masked:
            return part
        alpha = decode_window(self[index]._rles()[0], (int(x1), int(y1), int(x2 - x1), int(y2 - y1)))
        return np.dstack([part, 255 * alpha])

    def plot(self, *, colours: np.ndarray | None = None, font: int | None = None) -> np.ndarray:
        """Draw the instances over the image.

        Args:
            colours: (N, 3) uint8 BGR; the classes' by default.
            font: size of the labels in pixels; legible where the picture fills a screen by default.

        Returns:
            (H, W, 3) uint8 BGR; of an image beyond 16384 × 16384 pixels, one of 4096 at its longer side.

        Raises:
            InputError: the image cannot be read.
        """
        masks = None if None in self.rles else self._rles()
        return draw_picture(
            self._source(), masks, self.labels, self.scores, self.boxes, self.classes, colours=colours, font=font
        )

    def save(self, path: str | Path, format: str | None = None, *, tolerance: float = 0.0) -> Path:
        """Write the result, whole or not at all.

        Args:
            path: a picture as of `plot` (.jpg, .png), COCO's JSON (.json), YOLO's lines (.txt), GeoJSON in pixels
                (.geojson) or a table (.csv).
            format: one of `mmagg.formats.image_files.FORMATS` instead, such as 'labelme' or 'label_studio'.
            tolerance: pixels by which the outlines of YOLO and labelme may be simplified; at 0, they are exact.

        Returns:
            The path.

        Raises:
            InputError: the suffix stands for no format, the path is the image's own, the image cannot be read, or
                `tolerance` is negative or for another format.
            OSError: the file cannot be written.
        """
        path = Path(path)
        keep_apart({'path': path}, [self.path])
        if format is None and path.suffix.lower() in KEPT_SUFFIXES:
            return write_image(self.plot(), path)
        kind = format_of(path, format)
        check_tolerance(tolerance, [kind])
        write_image_file(self.annotated(), path, kind, path=self.path, tolerance=tolerance)
        return path

    def annotated(self) -> AnnotatedImage:
        """The result as what every format is written from."""
        return AnnotatedImage(
            name=self.name,
            size=self.size,
            classes=self.classes,
            labels=self.labels,
            masks=self.rles,
            boxes=self.boxes,
            scores=self.scores,
            tracks=self.tracks,
        )

    def to_coco(self) -> dict[str, list[dict]]:
        """COCO's ``images``, ``annotations`` with RLE, and ``categories``, as ``mmagg demo`` writes them."""
        return coco_json.coco_json([self.annotated()], self.classes)

    def to_yolo(self, tolerance: float = 0.0) -> list[str]:
        """A line for each instance, as in YOLO's label files: class, then the outline as shares of the image.

        Args:
            tolerance: pixels by which outlines may be simplified; 0 keeps each corner.
        """
        return import_module('mmagg.formats.yolo').yolo_lines(self.annotated(), tolerance=tolerance)

    def to_labelme(self, tolerance: float = 0.0) -> dict:
        """A JSON file of labelme.

        Args:
            tolerance: as of `to_yolo`; 1 leaves so few corners that they can be moved.
        """
        return import_module('mmagg.formats.labelme').labelme_json(self.annotated(), tolerance=tolerance)

    def to_label_studio(self) -> dict:
        """A task of Label Studio with these predictions; a list of them is what it imports."""
        return label_studio.label_studio_task(self.annotated())

    def to_geojson(self, transform: Sequence[float] | None = None, crs: str | None = None) -> dict:
        """A FeatureCollection of GeoJSON (RFC 7946) with a Polygon or MultiPolygon for each instance.

        Args:
            transform: a, b, c, d, e, f of x = a · column + b · row + c, y = d · column + e · row + f, as rasterio and
                GeoTIFF have it; by default coordinates are pixels.
            crs: the coordinates' system, such as ``EPSG:32633``. RFC 7946 knows longitude and latitude alone; GDAL and
                QGIS read others from the ``crs`` that is written then.

        Raises:
            InputError: `transform` is not six numbers, or does not span a plane.
        """
        return geojson.geojson(self.annotated(), transform=transform, crs=crs)

    def to_supervision(self) -> Any:
        """``supervision.Detections``.

        Raises:
            InputError: supervision is not installed.
        """
        return packages.supervision_detections(self.annotated())

    def to_fiftyone(self) -> Any:
        """``fiftyone.Detections``.

        Raises:
            InputError: FiftyOne is not installed.
        """
        return packages.fiftyone_detections(self.annotated())

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each instance.

        Raises:
            InputError: pandas is not installed.
        """
        return packages.pandas_table(self.annotated())

    def _source(self) -> np.ndarray | Path:
        if self.pixels is not None:
            return self.pixels
        if self.path is None:
            raise InputError(f'{self.name}: this result has no image; make one with `path` or `pixels`')
        return self.path

    def _rles(self) -> list[dict]:
        rles = [rle for rle in self.rles if rle is not None]
        if len(rles) < len(self):
            raise InputError(f'{self.name}: the model finds boxes without masks')
        return rles
