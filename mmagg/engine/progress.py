"""A hook for progress lines in slow trainings: mmengine's own, at least every ten seconds."""

from time import monotonic
from typing import Any

from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

SECONDS = 10  # between lines, unless a single iteration takes longer


class ProgressHook(Hook):
    """Logs an iteration when `LoggerHook`, which counts iterations, has been silent for `SECONDS`.

    Lines go to the console and the log file alone. The records for curves stay as the config says, except CUDA's peak
    memory, which mmengine counts anew after each line.
    """

    priority = 'LOWEST'  # after what is logged has been gathered

    def before_run(self, runner: Runner) -> None:
        """Note after how many iterations `LoggerHook` writes."""
        self.intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.last = monotonic()

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self.last = monotonic()

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        if any(self.every_n_inner_iters(batch_idx, interval) for interval in self.intervals):
            self.last = monotonic()
        elif monotonic() - self.last >= SECONDS:
            runner.logger.info(runner.log_processor.get_log_after_iter(runner, batch_idx, mode)[1])
            self.last = monotonic()
