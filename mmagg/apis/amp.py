"""Mixed precision for ``--amp``, on GPUs and on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from mmagg.io.errors import InputError


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on the CPU, where mmengine's ``AmpOptimWrapper`` refuses to work.

    bfloat16 has float32's range, so gradients do not underflow and no loss scaler is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of one forward pass: autocast, and no gradient exchange while gradients accumulate."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield


def enable_amp(cfg: Config) -> None:
    """Let a config train in mixed precision: float16 with a dynamic loss scale on CUDA, bfloat16 on the CPU.

    Raises:
        InputError: the config's optimiser wrapper is not mmengine's.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise InputError(f"--amp: the config's optim_wrapper is a {kind}; only OptimWrapper can be switched")
    if torch.cuda.is_available():
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    else:
        for option in ('loss_scale', 'dtype', 'use_fsdp'):
            cfg.optim_wrapper.pop(option, None)
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
