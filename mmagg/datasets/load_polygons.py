"""Instance masks as polygons, also those that the annotations hold as run-length codes."""

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from mmagg.rle.polygons import mask_polygons, one_ring


@TRANSFORMS.register_module()
class LoadPolygonAnnotations(LoadAnnotations):
    """mmdet's `LoadAnnotations` with boxes, labels and polygons.

    mmdet drops run-length codes where polygons are wanted: crowds, which a semantic loss needs, and every object of
    data sets that have no polygons. Here their outlines are traced along the edges of the pixels, so that they are
    exactly the masks. mmdet fills each ring: bridges of no width join holes to the outline. Its crop keeps the outer
    borders alone.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(with_bbox=True, with_mask=True, poly2mask=False, **kwargs)

    def _process_masks(self, results: dict) -> list:
        for instance in results.get('instances', []):
            if isinstance(instance['mask'], dict):
                instance['mask'] = outlines(instance['mask'])
        return super()._process_masks(results)


def outlines(rle: dict) -> list[list[float]]:
    """The parts of COCO's RLE, compressed or not, with their holes: a ring x0, y0, x1, y1, ... in pixels each."""
    return [one_ring([polygon]).ravel().tolist() for polygon in mask_polygons(rle)]
