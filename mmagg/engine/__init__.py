"""Hooks of training and testing: losses, progress, curves, pictures, the time of stages; Runners."""

from mmagg.engine.auxiliary_losses import AuxiliaryLossHook, add_auxiliary_losses
from mmagg.engine.finite_losses import FiniteLossHook
from mmagg.engine.validation_loss import ValidationLossHook
from mmagg.engine.validation_sheets import ValidationSheetHook

__all__ = ['AuxiliaryLossHook', 'FiniteLossHook', 'ValidationLossHook', 'ValidationSheetHook', 'add_auxiliary_losses']
