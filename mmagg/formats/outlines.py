"""The outlines of masks, as formats of polygons have them."""

from mmagg.rle.polygons import Polygon, mask_polygons


def outlines(mask: dict, tolerance: float = 0.0) -> list[Polygon]:
    """The polygons of a mask, which may be simplified; an object never gets lost by that.

    Args:
        mask: compressed RLE.
        tolerance: as of `mask_polygons`. A mask of which nothing would be left keeps its corners.
    """
    return mask_polygons(mask, tolerance=tolerance) or mask_polygons(mask)
