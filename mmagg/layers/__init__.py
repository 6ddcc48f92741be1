"""Layers that heads and necks are built from."""

from .channel_gate import ChannelGate
from .conv_tower import ConvTower
from .gacap import GACAP, CAPFusion, StridedConvFusion
from .gacarafe import GACARAFE, CARAFEFusion, NearestFusion
from .global_context import MultiLevelGlobalContext, cosine_attention, normalised
from .kernel_predictor import KernelPredictor, PairEncoder

__all__ = [
    'GACAP',
    'GACARAFE',
    'CAPFusion',
    'CARAFEFusion',
    'ChannelGate',
    'ConvTower',
    'KernelPredictor',
    'MultiLevelGlobalContext',
    'NearestFusion',
    'PairEncoder',
    'StridedConvFusion',
    'cosine_attention',
    'normalised',
]
