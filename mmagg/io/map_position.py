"""Where an image lies on the map: the transform and the coordinate reference system of a GeoTIFF and others."""

import warnings
from pathlib import Path
from typing import NamedTuple

from mmagg.io.errors import InputError, one_line


class MapPosition(NamedTuple):
    """From pixels to coordinates of a map: x = a·column + b·row + c, y = d·column + e·row + f, at pixels' edges.

    Attributes:
        transform: a, b, c, d, e, f, in the order of rasterio and affine.
        crs: the coordinate reference system, e.g. EPSG:32632, or WKT; None where the file does not say.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None


def map_position(path: str | Path) -> MapPosition | None:
    """The position that a file gives; None where it gives none.

    Raises:
        InputError: the file cannot be read, or rasterio, of the extra `mmagg[geo]`, is not installed.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise InputError(f"{path}: its place on the map is read by rasterio: pip install 'mmagg[geo]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                if source.transform.is_identity and source.crs is None:
                    return None
                a, b, c, d, e, f = (float(one) for one in source.transform[:6])
                return MapPosition((a, b, c, d, e, f), None if source.crs is None else source.crs.to_string())
    except RasterioError as error:
        raise InputError(f'{path}: {one_line(error)}') from error
