"""Post-processing, from candidates to instances: NMS, voting, and a post-processor for each kind of head."""

from mmagg.models.postprocess.boxed_mask_post_processor import BoxedMaskPostProcessor, DetectedBoxes
from mmagg.models.postprocess.encoded_masks import encode_masks
from mmagg.models.postprocess.mask_post_processor import CandidateMasks, MaskPostProcessor
from mmagg.models.postprocess.nms import MaskNMS, MatrixNMS
from mmagg.models.postprocess.voting import MaskVoting

__all__ = [
    'BoxedMaskPostProcessor',
    'CandidateMasks',
    'DetectedBoxes',
    'MaskNMS',
    'MaskPostProcessor',
    'MaskVoting',
    'MatrixNMS',
    'encode_masks',
]
