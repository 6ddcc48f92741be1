"""Images in memory, of which mmdet takes those of three channels alone, as the model's image."""

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from mmagg.io.images import bgr_image


@TRANSFORMS.register_module()
class ThreeChannels(BaseTransform):
    """Makes an image BGR of 8 bits, if it is grey, has alpha or 16 bits; see `bgr_image`.

    mmdet's `DetInferencer` hands on an array as it is, while its preprocessors want three channels.
    """

    def transform(self, results: dict) -> dict:
        """The results, with ``img`` as (H, W, 3) uint8."""
        return {**results, 'img': bgr_image(results['img'])}
