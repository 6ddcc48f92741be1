"""A Runner whose trainings can be repeated, with whole checkpoints and a work dir that waits until training begins."""

from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn

from mmagg.engine.brief_runner import BriefRunner
from mmagg.engine.early_stopping import ResumedEarlyStoppingHook
from mmagg.engine.seeded_samples import seed_samples, with_seeded_sampler
from mmagg.engine.weight_layout import laid_out
from mmagg.engine.whole_checkpoints import WholeCheckpointHook, saved
from mmagg.io.errors import EXPECTED, InputError, one_line
from mmagg.io.files import written_whole
from mmagg.io.partial import remove_temporary
from mmagg.io.run_folder import being_replaced, remove_run
from mmagg.io.signals import signals_wait

OURS = {CheckpointHook: WholeCheckpointHook, EarlyStoppingHook: ResumedEarlyStoppingHook}


class TrainingRunner(BriefRunner):
    """A Runner with hooks of `OURS` in place of mmengine's, and `SeededSampler` around the sampler.

    A config need not name those: it is saved for testing, where mmagg may be unknown. `StartHook` writes the config.
    """

    _train_dataloader: dict

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Add a hook, or ours for one of mmengine's that we have."""
        kind = hook.get('type') if isinstance(hook, dict) else None
        if ours := OURS.get(HOOKS.get(kind) if isinstance(kind, str) else kind):
            hook = {**hook, 'type': ours}
        super().register_hook(hook, priority)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; on CPUs its SyncBN becomes BN, as mmengine does for one process.

        gloo cannot synchronise statistics: each process has those of its own images. There, weights are channels_last.
        """
        if get_device() == 'cpu':
            model = laid_out(revert_sync_batchnorm(model))
        return super().wrap_model(model_wrapper_cfg, model)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop, whose samples are a function of their places."""
        if isinstance(loop, BaseLoop):
            return loop
        self._train_dataloader = with_seeded_sampler(self._train_dataloader)
        loop = super().build_train_loop(loop)
        seed_samples(loop.dataloader.dataset)
        return loop

    def load_or_resume(self) -> None:
        """Load the checkpoint that the training starts from.

        Raises:
            InputError: its parts do not fit the config's, as the optimiser's; names the file.
        """
        try:
            super().load_or_resume()
            if self._resume:
                _check_states(self.optim_wrapper)
        except (InputError, torch.OutOfMemoryError):
            raise
        except (*EXPECTED, RuntimeError, ArithmeticError) as error:
            raise InputError(f'checkpoint {self._load_from}: does not fit this training: {one_line(error)}') from error

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save, whole or not at all; signals wait for it.

        Raises:
            InputError: it cannot be written; names the file.
        """
        if '://' in str(out_dir):  # object stores have no half-written files
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with signals_wait(), saved(Path(out_dir) / filename) as temporary:
            super().save_checkpoint(str(temporary.parent), temporary.name, *args, **kwargs)

    def dump_config(self) -> None:
        """Nothing yet: the training may be refused, and the work dir's config is that of another."""


def _check_states(wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Refuse an optimiser's state, such as a momentum, of another shape than its parameter's.

    Raises:
        ValueError: names both shapes. Adafactor has states of fewer axes, or of length 1 in some.
    """
    for one in dict(wrapper.items()).values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
        for parameter, states in one.optimizer.state.items():
            if not isinstance(parameter, Tensor):
                raise ValueError(f'the optimiser has a state for weight {parameter}, which is not there')
            for name, state in states.items():
                if not isinstance(state, Tensor) or state.ndim < parameter.ndim:
                    continue
                if state.ndim > parameter.ndim or any(
                    length not in (1, wanted) for length, wanted in zip(state.shape, parameter.shape, strict=True)
                ):
                    raise ValueError(
                        f"the optimiser's {name} is {tuple(state.shape)} for a weight of {tuple(parameter.shape)}"
                    )


class StartHook(Hook):
    """Takes over the work dir when training begins, after all checks.

    It deletes what a killed run left half-written, and with ``overwrite`` the run that was there, so that nothing can
    resume it by mistake; then it writes the config.

    Attributes:
        started: True from then on, in the main process.
    """

    priority = 'VERY_HIGH'

    def __init__(self, *, overwrite: bool) -> None:
        self.overwrite, self.started = overwrite, False

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Take over."""
        work_dir = Path(runner.work_dir)
        config = Path(runner.cfg.filename or f'{runner.timestamp}.py').name
        if self.overwrite or being_replaced(work_dir):
            remove_run(work_dir)
        remove_temporary(work_dir)
        with written_whole(work_dir / config) as temporary:
            runner.cfg.dump(temporary)
        self.started = True
