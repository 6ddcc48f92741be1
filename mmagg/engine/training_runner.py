"""A Runner whose checkpoints are whole, and that leaves the work dir alone until training begins."""

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mmagg.engine.log_lines import brief_console
from mmagg.engine.whole_checkpoints import WholeCheckpointHook, saved
from mmagg.io.errors import building
from mmagg.io.files import written_whole
from mmagg.io.run_folder import remove_run, remove_temporary


class TrainingRunner(Runner):
    """mmengine's Runner, with `WholeCheckpointHook` in place of CheckpointHook.

    A config need not name that: it is saved for testing, where mmagg may be unknown. `StartHook` writes the config.
    """

    def register_hook(self, hook: Hook | dict, priority: Any = None) -> None:
        """Add a hook, or ours for mmengine's CheckpointHook."""
        kind = hook.get('type') if isinstance(hook, dict) else None
        if (HOOKS.get(kind) if isinstance(kind, str) else kind) is CheckpointHook:
            hook = {**hook, 'type': WholeCheckpointHook}
        super().register_hook(hook, priority)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, see `brief_console`."""
        return brief_console(super().build_logger(*args, **kwargs))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, or say in one line why that is impossible."""
        with building():
            return super().build_model(model)

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save, whole or not at all.

        Raises:
            InputError: it cannot be written; names the file.
        """
        if '://' in str(out_dir):  # object stores have no half-written files
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with saved(Path(out_dir) / filename) as temporary:
            super().save_checkpoint(str(temporary.parent), temporary.name, *args, **kwargs)

    def dump_config(self) -> None:
        """Nothing yet: the training may be refused, and the work dir's config is that of another."""


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
        if self.overwrite:
            remove_run(work_dir)
        remove_temporary(work_dir, config)
        with written_whole(work_dir / config) as temporary:
            runner.cfg.dump(temporary)
        self.started = True
