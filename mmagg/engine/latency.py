"""How long an image takes, stage by stage, while a model is tested on real data."""

from collections import Counter
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from torch import nn

from mmagg.costs.stage_times import inference_places
from mmagg.engine.stages import StageClock

WAITING, PREPROCESSING, REST, COLLECTING = 'waiting for data', 'preprocessing', 'post', 'collecting'
WARM_UP = 1  # batches at the start that are not counted where others follow


class LatencyHook(Hook):
    """Measures the stages of each batch that this process tests.

    On a GPU the clock waits for the device whenever a stage begins or ends, which makes testing a little slower.

    Args:
        model: what is tested, without the wrapper of distributed training.
        compiled: its parts are compiled; then it is one stage, because a watched part would not be.

    Attributes:
        batches: images, and seconds by stage, of each.
    """

    def __init__(self, *, model: nn.Module, compiled: bool = False) -> None:
        self.model, self.compiled = model, compiled
        self.clock = StageClock(next(model.parameters()).device)
        self.batches: list[tuple[int, dict[str, float]]] = []

    def before_test(self, runner: Runner) -> None:
        """Watch the parts."""
        inner = self.model.module if isinstance(self.model, BaseTTAModel) else self.model
        places = [(self.model, 'test_step', REST), (runner.test_evaluator, 'process', COLLECTING)]
        places += [(inner.data_preprocessor, 'forward', PREPROCESSING)]
        places += [] if self.compiled else inference_places(inner)
        self._watching = ExitStack()
        self._watching.enter_context(self.clock.watch(places))
        self._left = perf_counter()

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The data are here."""
        self.clock.seconds.clear()
        self.clock.seconds[WAITING] = perf_counter() - self._left

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: list | None = None
    ) -> None:
        """Keep the batch's times."""
        self.batches.append((len(outputs), dict(self.clock.seconds)))
        self._left = perf_counter()

    def after_test(self, runner: Runner) -> None:
        """Leave the parts as they were."""
        self._watching.close()

    def mean(self) -> dict[str, float]:
        """Mean seconds an image by stage, in the order in which they ran; empty where nothing was tested."""
        counted = self.batches[WARM_UP:] or self.batches
        images, total = sum(count for count, _ in counted), Counter()
        for _, seconds in counted:
            total.update(seconds)
        of_model = [stage for stage in total if stage not in (WAITING, PREPROCESSING, REST, COLLECTING)]
        order = [WAITING, PREPROCESSING, *of_model, REST, COLLECTING]
        return {stage: total[stage] / images for stage in order if stage in total}
