"""``--report DIR``: what a test keeps for the page, and the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import nn

from mmagg.apis.hardware import hardware
from mmagg.datasets.coco_objects import MAX_DETECTIONS
from mmagg.datasets.coco_reader import read_truth
from mmagg.engine.latency import LatencyHook
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.report import Evaluation, write_report
from mmagg.evaluation.results import CocoResults, result_files
from mmagg.io.errors import InputError, one_line


class RunReport:
    """Has a runner keep what the page of its test needs: the predictions, and the time of their stages.

    Args:
        runner: before its test.
        folder: for report.html, results.json and its parts, see `result_files`.
        model: the tested model, without the wrapper of distributed training.
        compiled: its parts are compiled.

    Attributes:
        FILES: names of the files.
        results: the writer of the predictions, to be put first among the runner's metrics.

    Raises:
        InputError: the data set is not in COCO format, or its annotations cannot be compared with.
    """

    PAGE, RESULTS = 'report.html', 'results.json'
    FILES = PAGE, *map(str, (RESULTS, *result_files(Path(RESULTS)).values()))

    def __init__(self, runner: Runner, folder: Path, *, model: nn.Module, compiled: bool) -> None:
        dataset = runner.test_dataloader.dataset
        if not hasattr(dataset, 'cat_ids'):
            raise InputError(f'--report: {type(dataset).__name__} is not in COCO format')
        try:
            truth = read_truth(Path(dataset.ann_file), _iou_type(runner.test_evaluator))
        except InputError as error:
            raise InputError(
                f'--report {folder}: {one_line(error)}; without it, --out FILE.json writes the predictions'
            ) from error
        self.folder, self.truth = folder, truth.of_categories(dataset.cat_ids)
        self.image_folder = Path(dataset.data_prefix.get('img', '.'))
        limits = [one.max_dets for one in runner.test_evaluator.metrics if isinstance(one, COCOInstanceMetric)]
        self.max_dets = max(limits, default=MAX_DETECTIONS)
        self.results = CocoResults(path=folder / self.RESULTS, category_ids=dataset.cat_ids)
        self.latency = LatencyHook(model=model, compiled=compiled)
        runner.register_hook(self.latency)

    def write(self, *, config: str, checkpoint: str | Path, metrics: Mapping[str, Any], score_thr: float) -> None:
        """Write the page after the test; arguments as of `Evaluation` and `write_report`."""
        tested = Evaluation(
            config=config,
            checkpoint=str(checkpoint),
            truth=self.truth,
            image_ids=self.results.image_ids,
            results=self.results.path,
            image_folder=self.image_folder,
            max_dets=self.max_dets,
            metrics=metrics,
            seconds=self.latency.mean(),
            machine=hardware(str(self.latency.clock.device)),
        )
        write_report(tested, self.folder / self.PAGE, score_thr=score_thr)


def _iou_type(evaluator: Evaluator) -> str:
    """'segm' if masks are measured, by a metric of mmagg or of mmdet; else 'bbox'."""
    measured = {kind for one in evaluator.metrics for kind in getattr(one, 'kinds', getattr(one, 'metrics', ()))}
    return 'segm' if measured & {'segm', 'boundary'} else 'bbox'
