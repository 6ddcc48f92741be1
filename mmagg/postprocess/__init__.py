"""From candidates to instances: NMS, voting and the post-processors that heads end in."""

from .boxed_mask_post_processor import BoxedMaskPostProcessor, Detections
from .mask_post_processor import MaskPostProcessor
from .nms import MaskNMS, MatrixNMS
from .voting import MaskVoting

__all__ = ['BoxedMaskPostProcessor', 'Detections', 'MaskNMS', 'MaskPostProcessor', 'MaskVoting', 'MatrixNMS']
