"""How an instance's mask comes about."""

from mmagg.models.masks.boxed.autoencoder_codec import AutoEncoderMaskCodec
from mmagg.models.masks.boxed.blendmask import BlendedMasks
from mmagg.models.masks.boxed.coefficients import Coefficients
from mmagg.models.masks.boxed.dct_codec import DCTMaskCodec, assume_dictionaries
from mmagg.models.masks.boxed.mask_codec import MaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.meinst import CodedMasks
from mmagg.models.masks.grid.aggmask import DynamicAggregator
from mmagg.models.masks.grid.aggmask_context import MultiLevelContext
from mmagg.models.masks.grid.aggmask_parameters import DynamicParameters, StaticParameters
from mmagg.models.masks.grid.decoupled_solo import DecoupledMaskBranch
from mmagg.models.masks.grid.local_masks import LocalMasks
from mmagg.models.masks.grid.solo import StaticMaskBranch
from mmagg.models.masks.grid.solov2 import DynamicMaskBranch

__all__ = [
    'AutoEncoderMaskCodec',
    'BlendedMasks',
    'CodedMasks',
    'Coefficients',
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
