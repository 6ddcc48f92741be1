"""What takes part in training beside the model."""

from .auxiliary_losses import AuxiliaryLossHook, add_auxiliary_losses

__all__ = ['AuxiliaryLossHook', 'add_auxiliary_losses']
