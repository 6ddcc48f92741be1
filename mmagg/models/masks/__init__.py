"""The masks of each method: one per grid cell (`grid`), or in the frame of a box (`boxed`)."""

from mmagg.models.masks.boxed.autoencoder_codec import AutoEncoderMaskCodec
from mmagg.models.masks.boxed.blendmask import BlendMaskMasks
from mmagg.models.masks.boxed.blendmask_from_boxes import BlendMaskFromBoxes
from mmagg.models.masks.boxed.coefficients import Coefficients
from mmagg.models.masks.boxed.dct_codec import DCTMaskCodec
from mmagg.models.masks.boxed.mask_codec import MaskCodec, assume_dictionaries
from mmagg.models.masks.boxed.meinst import MEInstMasks
from mmagg.models.masks.boxed.pca_codec import PCAMaskCodec
from mmagg.models.masks.grid.aggmask import AggMaskAggregator
from mmagg.models.masks.grid.aggmask_context import AggMaskContext
from mmagg.models.masks.grid.aggmask_parameters import DynamicParameters, StaticParameters
from mmagg.models.masks.grid.decoupled_solo import DecoupledSOLOMaskBranch
from mmagg.models.masks.grid.local_masks import LocalMasks
from mmagg.models.masks.grid.sodar import NeighbourOffsets
from mmagg.models.masks.grid.solo import SOLOMaskBranch
from mmagg.models.masks.grid.solov2 import SOLOv2MaskBranch

__all__ = [
    'AggMaskAggregator',
    'AggMaskContext',
    'AutoEncoderMaskCodec',
    'BlendMaskFromBoxes',
    'BlendMaskMasks',
    'Coefficients',
    'DCTMaskCodec',
    'DecoupledSOLOMaskBranch',
    'DynamicParameters',
    'LocalMasks',
    'MEInstMasks',
    'MaskCodec',
    'NeighbourOffsets',
    'PCAMaskCodec',
    'SOLOMaskBranch',
    'SOLOv2MaskBranch',
    'StaticParameters',
    'assume_dictionaries',
]
