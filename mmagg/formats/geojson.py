"""Images with instances as GeoJSON (RFC 7946): polygons in pixels, or in the coordinates of a map."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.io.errors import InputError
from mmagg.rle.polygons import Polygon, mask_polygons

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def geojson(image: AnnotatedImage, *, transform: Sequence[float] | None = None, crs: str | None = None) -> dict:
    """A FeatureCollection with a Polygon, or for several parts a MultiPolygon, for each instance; boxes without masks
    are rectangles. An instance without a pixel has no geometry.

    RFC 7946 (3.1.6) wants outer rings anticlockwise and holes clockwise, in coordinates of which the second points up.

    Args:
        image: its instances.
        transform: a, b, c, d, e, f of x = a · column + b · row + c, y = d · column + e · row + f, where (0, 0) is the
            outer corner of the first pixel, as rasterio and GeoTIFF have it; by default coordinates are pixels.
        crs: name of the coordinates' system, such as ``EPSG:32633``. RFC 7946 knows longitude and latitude alone and
            has dropped ``crs`` of GeoJSON 2008, by which GDAL and QGIS still read others.

    Raises:
        InputError: `transform` is not six finite numbers, or does not span a plane.
    """
    numbers = np.asarray(IDENTITY if transform is None else tuple(transform)[:6], float)
    if numbers.shape != (6,) or not np.isfinite(numbers).all() or not _turns(numbers):
        raise InputError(f'transform {transform}: not six numbers a, b, c, d, e, f that span a plane')
    collection: dict[str, Any] = {'type': 'FeatureCollection'}
    if crs is not None:
        name = crs.upper().removeprefix('EPSG:')
        urn = f'urn:ogc:def:crs:EPSG::{name}' if name.isdecimal() else crs
        collection['crs'] = {'type': 'name', 'properties': {'name': urn}}
    collection['features'] = [_feature(image, i, numbers) for i in range(len(image))]
    return collection


def _feature(image: AnnotatedImage, index: int, numbers: np.ndarray) -> dict:
    label, mask = int(image.labels[index]), image.masks[index]
    properties: dict[str, Any] = {'image': image.name, 'label': label, 'class': image.classes[label]}
    if image.scores is not None:
        properties['score'] = float(image.scores[index])
    if image.tracks is not None:
        properties['track'] = int(image.tracks[index])
    shapes = [_rectangle(image.boxes[index])] if mask is None else mask_polygons(mask)
    polygons = [[_ring(ring, numbers) for ring in shape] for shape in shapes]
    geometry = None
    if polygons:
        several = len(polygons) > 1
        geometry = {
            'type': 'MultiPolygon' if several else 'Polygon',
            'coordinates': polygons if several else polygons[0],
        }
    return {'type': 'Feature', 'geometry': geometry, 'properties': properties}


def _rectangle(box: np.ndarray) -> Polygon:
    x1, y1, x2, y2 = box.astype(float)
    return [np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])]


def _ring(ring: np.ndarray, numbers: np.ndarray) -> list[list[float]]:
    """A ring that ends where it begins. Those of `mask_polygons` run anticlockwise where y points up, if outer ones."""
    linear, shift = numbers.reshape(2, 3)[:, :2], numbers.reshape(2, 3)[:, 2]
    closed = np.concatenate([ring, ring[:1]]) @ linear.T + shift
    return (closed if _turns(numbers) > 0 else closed[::-1]).tolist()


def _turns(numbers: np.ndarray) -> float:
    """The determinant: negative where the map is a mirror image of the pixels, as where rows run southwards."""
    a, b, _, d, e, _ = numbers
    return float(a * e - b * d)
