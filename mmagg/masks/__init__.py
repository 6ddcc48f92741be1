"""How an instance's mask comes about."""

from .aggregation_parameters import DynamicParameters, StaticParameters
from .aggregator import DynamicAggregator
from .autoencoder_codec import AutoEncoderMaskCodec
from .blended import BlendedMasks
from .coded import CodedMasks
from .context import MultiLevelContext
from .dct_codec import DCTMaskCodec, assume_dictionaries
from .decoupled import DecoupledMaskBranch
from .dynamic import DynamicMaskBranch
from .local_masks import LocalMasks
from .mask_codec import MaskCodec, PCAMaskCodec
from .static import StaticMaskBranch

__all__ = [
    'AutoEncoderMaskCodec',
    'BlendedMasks',
    'CodedMasks',
    'DCTMaskCodec',
    'DecoupledMaskBranch',
    'DynamicAggregator',
    'DynamicMaskBranch',
    'DynamicParameters',
    'LocalMasks',
    'MaskCodec',
    'MultiLevelContext',
    'PCAMaskCodec',
    'StaticMaskBranch',
    'StaticParameters',
    'assume_dictionaries',
]
