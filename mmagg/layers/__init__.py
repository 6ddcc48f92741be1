"""Layers that heads and necks are built from."""

from .channel_gate import ChannelGate
from .conv_tower import ConvTower
from .deeplab_decoder import DeepLabDecoder
from .gacap import GACAP, CAPFusion, StridedConvFusion
from .gacarafe import GACARAFE, CARAFEFusion, NearestFusion
from .global_context import MultiLevelGlobalContext, cosine_attention, normalised
from .kernel_predictor import KernelPredictor, PairEncoder
from .large_kernel import LargeKernelConv
from .level_tower import LevelTower
from .proto_net import ProtoNet
from .semantic_head import SemanticHead

__all__ = [
    'GACAP',
    'GACARAFE',
    'CAPFusion',
    'CARAFEFusion',
    'ChannelGate',
    'ConvTower',
    'DeepLabDecoder',
    'KernelPredictor',
    'LargeKernelConv',
    'LevelTower',
    'MultiLevelGlobalContext',
    'NearestFusion',
    'PairEncoder',
    'ProtoNet',
    'SemanticHead',
    'StridedConvFusion',
    'cosine_attention',
    'normalised',
]
