"""Auxiliary losses of a detector's parts, such as a neck's, for any detector."""

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from mmagg.engine.bare_model import bare_model


def add_auxiliary_losses(detector: nn.Module) -> RemovableHandle:
    """Add the losses of a detector's parts to those that it returns, from now on.

    A part is any module with a method `auxiliary_losses() -> dict[str, Tensor]`, for instance `A2FPN`. Its losses are
    treated as the detector's own: summed, logged, scaled by AMP, averaged by DistributedDataParallel.

    Args:
        detector: a detector of mmdet, not wrapped.

    Returns:
        A handle whose `remove()` undoes it.
    """
    parts: list[Any] = [module for module in detector.modules() if hasattr(module, 'auxiliary_losses')]

    def add(_: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        mode = kwargs.get('mode', args[2] if len(args) > 2 else 'tensor')  # of BaseDetector.forward
        if mode != 'loss':
            return output
        for part in parts:
            for name, loss in part.auxiliary_losses().items():
                output[name] = output[name] + loss if name in output else loss
        return output

    return detector.register_forward_hook(add, with_kwargs=True)


@HOOKS.register_module()
class AuxiliaryLossHook(Hook):
    """`add_auxiliary_losses` for a config: `custom_hooks = [dict(type='AuxiliaryLossHook')]`."""

    def before_train(self, runner: Runner) -> None:
        """Add the losses."""
        self._handle = add_auxiliary_losses(bare_model(runner))

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was."""
        self._handle.remove()
