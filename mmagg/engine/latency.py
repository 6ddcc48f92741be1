"""Time of an image, stage by stage, while a model is tested on real data."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseModel, BaseTTAModel
from mmengine.runner import Runner

from mmagg.engine.stages import PARTS_OF, marked, marked_detector
from mmagg.ops.stage import StageClock

WAITING, PREPROCESSING, REST, COLLECTING = 'waiting for data', 'preprocessing', 'post', 'collecting'
WARM_UP = 1  # batches at the start that are not counted where others follow


class LatencyHook(Hook):
    """Measures the stages of each batch that this process tests.

    On a GPU the clock waits for the device whenever a stage begins or ends, which makes testing a little slower.

    Args:
        model: the tested model, without the wrapper of distributed training.
        compiled: its parts are compiled; then it is one stage, because a part would not be with a hook in it.

    Attributes:
        batches: images, and seconds by stage, of each.
    """

    priority = 'HIGHEST'  # the work of other hooks after a batch, as drawing it, is no part of it

    def __init__(self, *, model: BaseModel, compiled: bool = False) -> None:
        self.model, self.compiled = model, compiled
        self.clock = StageClock(next(model.parameters()).device)
        self.batches: list[tuple[int, dict[str, float]]] = []

    def before_test(self, runner: Runner) -> None:
        """Mark the parts."""
        inner = self.model.module if isinstance(self.model, BaseTTAModel) else self.model
        self._marks = ExitStack()
        self._marks.enter_context(marked([(inner.data_preprocessor, PREPROCESSING)]))
        self._marks.enter_context(marked([(inner, REST)]) if self.compiled else marked_detector(inner))
        self._waiting = _WaitingHook()
        runner.register_hook(self._waiting)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The data are here; the time of no other stage goes to collecting the results."""
        self.clock.seconds.clear()
        self.clock.seconds[WAITING] = perf_counter() - self._waiting.since
        self._batch = ExitStack()
        self._batch.enter_context(self.clock.listening())
        self._batch.enter_context(self.clock.stage(COLLECTING))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Keep the batch's times."""
        self._batch.close()
        seconds: dict[str, float] = defaultdict(float)
        for name, value in self.clock.seconds.items():
            of_model = name not in (WAITING, PREPROCESSING, COLLECTING)
            seconds[REST if self.compiled and of_model else PARTS_OF.get(name, name)] += value
        self.batches.append((len(outputs), dict(seconds)))

    def after_test(self, runner: Runner) -> None:
        """Leave the parts as they were."""
        self._marks.close()

    def mean(self) -> dict[str, float]:
        """Mean seconds an image by stage, in the order in which they ran; empty where nothing was tested."""
        counted = self.batches[WARM_UP:] or self.batches
        images, total = sum(count for count, _ in counted), defaultdict[str, float](float)
        for _, seconds in counted:
            for stage, value in seconds.items():
                total[stage] += value
        of_model = [stage for stage in total if stage not in (WAITING, PREPROCESSING, REST, COLLECTING)]
        order = [WAITING, PREPROCESSING, *of_model, REST, COLLECTING]
        return {stage: total[stage] / images for stage in order if stage in total}


class _WaitingHook(Hook):
    """Notes in `since` when all hooks are done with a batch: from then on the next one is waited for."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.since = perf_counter()

    def after_test_iter(self, *_: Any, **__: Any) -> None:
        """All other hooks are done."""
        self.since = perf_counter()
