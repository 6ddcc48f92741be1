"""A sign of life in time: mmengine's progress line with its ETA at least every ten seconds."""

from time import monotonic
from typing import Any

from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

SECONDS = 10  # without a line at most, unless a single iteration takes longer


class ProgressHook(Hook):
    """Logs an iteration where `LoggerHook`, which counts iterations, has been silent for `SECONDS`.

    An iteration of a large model on a CPU takes seconds, and the first line would come after 50 of them. Lines go to
    the console and the log file alone: what is recorded for curves stays what the config says, but for CUDA's peak
    memory, which mmengine counts anew after each line.
    """

    priority = 'LOWEST'  # after what is logged has been gathered

    def before_run(self, runner: Runner) -> None:
        """Find out when the other hook writes."""
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
