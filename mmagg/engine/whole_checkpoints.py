"""Checkpoints that are whole or absent, and of which the last one is always there.

mmengine deletes the old checkpoint before it writes the new one, in place: a kill or a full disk meanwhile leaves none.
Here the new one is written under another name, gets its own when it is on the disk, and is named by the note
`last_checkpoint`; then the old one goes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.io.partial import remove_temporary
from mmagg.io.run_folder import NOTE


@contextmanager
def saved(path: Path) -> Iterator[Path]:
    """`written_whole`, and on the disk before it gets its name.

    Raises:
        InputError: it cannot be written, as on a full disk; names the file.
    """
    try:
        with written_whole(path) as temporary:
            yield temporary
            _sync(temporary)
        _sync(path.parent)
    except OSError as error:
        raise InputError(
            f'{path}: not saved ({error.strerror or error}); earlier checkpoints are as they were, --resume goes on '
            'from the last one'
        ) from error


def _sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, would survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, but it deletes after it has saved; `mmagg.engine.training_runner` puts it in its place."""

    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]
    file_backend: 'BaseStorageBackend | _Postponed'

    def before_train(self, runner: Runner) -> None:
        """Look for the best checkpoints in the run's own folder: it may have been moved, or resume another run's."""
        super().before_train(runner)
        if is_main_process() and '://' not in str(self.out_dir):
            remove_temporary(Path(self.out_dir))
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = self._own(self.best_ckpt_path)
        else:
            self.best_ckpt_path_dict = {key: self._own(path) for key, path in self.best_ckpt_path_dict.items()}

    def _own(self, path: str | None) -> str | None:
        name = os.path.basename(path or '')
        if not name.startswith('best_'):  # a checkpoint that is resumed can name any file; this one is to be deleted
            return None
        own = self.file_backend.join_path(self.out_dir, name)
        return own if self.file_backend.isfile(own) else None

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """As mmengine's, in another order."""
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            steps = [*self.keep_ckpt_ids, step]
            outdated = steps[: -self.max_keep_ckpts]
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', steps)  # a resumed run deletes what a kill leaves of them
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        with saved(Path(runner.work_dir) / NOTE) as temporary:
            temporary.write_text(self.last_ckpt, encoding='utf-8')
        for step in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        backend, last = self.file_backend, self.last_ckpt
        self.file_backend = postponed = _Postponed(backend)
        now = self.filename_tmpl.format(runner.epoch if self.by_epoch else runner.iter)
        if last is not None and os.path.basename(last) != now:
            self.last_ckpt = None  # mmengine would save one of this step, which is none of those to keep
        try:
            super()._save_best_checkpoint(runner, metrics)
            postponed.carry_out()
        finally:
            self.file_backend, self.last_ckpt = backend, self.last_ckpt or last


class _Postponed:
    """A file backend that removes files when told to."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self.backend = backend
        self.doomed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.doomed.append(path)

    def carry_out(self) -> None:
        for path in self.doomed:
            self.backend.remove(path)
