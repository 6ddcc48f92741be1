"""How an instance's mask comes about."""

from .aggregation_parameters import DynamicParameters, StaticParameters
from .aggregator import DynamicAggregator
from .blended import BlendedMasks
from .context import MultiLevelContext
from .decoupled import DecoupledMaskBranch
from .dynamic import DynamicMaskBranch
from .local_masks import LocalMasks
from .static import StaticMaskBranch

__all__ = [
    'BlendedMasks',
    'DecoupledMaskBranch',
    'DynamicAggregator',
    'DynamicMaskBranch',
    'DynamicParameters',
    'LocalMasks',
    'MultiLevelContext',
    'StaticMaskBranch',
    'StaticParameters',
]
