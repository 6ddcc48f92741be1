"""From candidates to instances: NMS, voting and the one post-processor that every head ends in."""

from .mask_post_processor import MaskPostProcessor
from .nms import MaskNMS, MatrixNMS
from .voting import MaskVoting

__all__ = ['MaskNMS', 'MaskPostProcessor', 'MaskVoting', 'MatrixNMS']
