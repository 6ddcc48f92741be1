"""What takes part in training beside the model."""

from .auxiliary_losses import AuxiliaryLossHook, add_auxiliary_losses
from .finite_losses import FiniteLossHook
from .validation_loss import ValidationLossHook

__all__ = ['AuxiliaryLossHook', 'FiniteLossHook', 'ValidationLossHook', 'add_auxiliary_losses']
