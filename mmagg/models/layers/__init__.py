"""Layers that heads and necks are built from."""

from mmagg.models.layers.channel_gate import ChannelGate
from mmagg.models.layers.conv_tower import ConvTower
from mmagg.models.layers.deeplab_decoder import DeepLabDecoder
from mmagg.models.layers.dysample import DySample, DySampleFusion
from mmagg.models.layers.gacap import GACAP, CAPFusion, StridedConvFusion
from mmagg.models.layers.gacarafe import GACARAFE, CARAFEFusion, NearestFusion
from mmagg.models.layers.global_context import MultiLevelGlobalContext, cosine_attention, normalised
from mmagg.models.layers.kernel_predictor import KernelPredictor, PairEncoder
from mmagg.models.layers.large_kernel import LargeKernelConv
from mmagg.models.layers.level_tower import LevelTower
from mmagg.models.layers.proto_net import ProtoNet

__all__ = [
    'GACAP',
    'GACARAFE',
    'CAPFusion',
    'CARAFEFusion',
    'ChannelGate',
    'ConvTower',
    'DeepLabDecoder',
    'DySample',
    'DySampleFusion',
    'KernelPredictor',
    'LargeKernelConv',
    'LevelTower',
    'MultiLevelGlobalContext',
    'NearestFusion',
    'PairEncoder',
    'ProtoNet',
    'StridedConvFusion',
    'cosine_attention',
    'normalised',
]
