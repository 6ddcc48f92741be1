"""A hook that stops a training at the first loss that is not finite, and names the images."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

ADVICE = (
    'Nothing was saved after it; --resume goes on from the last checkpoint. Try a smaller learning rate or a longer '
    'warm-up, optim_wrapper.clip_grad, no --amp, and look at the annotations of these images'
)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training at a loss that is not finite, before a checkpoint is saved.

    `mmagg.apis.train` always has it; elsewhere `custom_hooks = [dict(type='FiniteLossHook')]`. mmdet's
    `CheckInvalidLossHook` checks the total every 50 iterations, and names no images.

    Every iteration is checked without waiting for the device, as mmengine's `RuntimeInfoHook` has just brought the
    losses to the host for its log. With `clip_grad` the gradient's norm is checked too, unless a loss scaler uses
    infinite gradients to find its scale; without it, a gradient that is not finite shows in the next losses. Several
    processes stop together, as they share the gradient: they exchange one number an iteration, and the process whose
    loss it was names its images.

    Raises:
        FloatingPointError: names the iteration, the losses and the image files of the batch.
    """

    priority = 'HIGH'  # after RuntimeInfoHook, before whatever writes a log or a checkpoint

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check the iteration's losses."""
        names = [name for name in outputs or () if 'loss' in name]
        if not hasattr(runner.optim_wrapper, 'loss_scaler'):
            names.append('grad_norm')
        logged = runner.message_hub.log_scalars
        values = {name: logged[f'train/{name}'].current() for name in names if f'train/{name}' in logged}
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        severity = 2 if bad.keys() - {'grad_norm'} else len(bad)  # all processes share the gradient
        worst = torch.tensor(severity)
        all_reduce(worst, 'max')
        if severity < worst:
            raise FloatingPointError(f'iteration {runner.iter + 1}: a loss of another process is not finite')
        if bad:
            parts = {name: value for name, value in bad.items() if name != 'loss'} or bad  # without their sum
            what = ', '.join(f'{name} is {value}' for name, value in parts.items())
            images = ', '.join(image_paths(data_batch)) or 'unknown'
            message = f'iteration {runner.iter + 1}: {what}; images of the batch: {images}. {ADVICE}'
            runner.logger.error(message)  # at once: when another process is first to end, the launcher ends this one
            raise FloatingPointError(message)


def image_paths(batch: Any) -> Iterator[str]:
    """The image files of a batch from a data loader, however nested it is."""
    if isinstance(batch, BaseDataElement):
        if 'img_path' in batch.metainfo:
            yield batch.img_path
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from image_paths(part)
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        for part in batch:
            yield from image_paths(part)
