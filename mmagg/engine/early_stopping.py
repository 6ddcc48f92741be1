"""Early stopping that a resumed training goes on with, and that leaves the last checkpoint."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.dist import broadcast_object_list
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmagg.engine.past_scores import past_scores, step_of


class ResumedEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's hook with a memory; `mmagg.engine.training_runner` puts it in its place.

    A resumed training counts the validations up to its checkpoint, by the records beside that: it ends where the one
    that runs through would have ended. The state in which a training ends is saved, also between two checkpoints.
    """

    def before_train(self, runner: Runner) -> None:
        """Count the validations that a resumed training has had, which may be its end."""
        if not runner._resume or not runner._load_from:
            return
        done = runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else runner.iter
        folders = dict.fromkeys([Path(runner._load_from).parent, Path(runner.work_dir)])
        known = next(filter(None, (past_scores(folder, self.monitor) for folder in folders)), {})
        scores = [[score for step, score in known.items() if step <= done]]
        broadcast_object_list(scores)  # the main process alone writes records
        for score in scores[0]:
            self._count(runner, {self.monitor: score})

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Count a validation; a model that finds nothing may have no scores."""
        if not metrics:
            return
        self._count(runner, metrics)
        if not runner.train_loop.stop_training:
            return
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and hook.save_last:
                step = runner.epoch if hook.by_epoch else runner.iter
                if step_of(hook.last_ckpt or '') != step:
                    hook._save_checkpoint_with_step(runner, step, meta=dict(epoch=runner.epoch, iter=runner.iter))

    def _count(self, runner: Runner, metrics: Mapping[str, float]) -> None:
        nothing_yet = self.rule == 'greater' and self.best_score <= 0
        if not (nothing_yet and metrics.get(self.monitor, 1) <= 0):
            super().after_val_epoch(runner, metrics)
