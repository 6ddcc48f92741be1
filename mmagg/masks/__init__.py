"""How an instance's mask comes about."""

from .decoupled import DecoupledMaskBranch
from .dynamic import DynamicMaskBranch
from .local_masks import LocalMasks
from .static import StaticMaskBranch

__all__ = ['DecoupledMaskBranch', 'DynamicMaskBranch', 'LocalMasks', 'StaticMaskBranch']
