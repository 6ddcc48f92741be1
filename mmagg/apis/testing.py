"""Testing a model: its metrics, and files and pictures of its predictions."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from tqdm import tqdm

from mmagg.apis.checkpoint import checkpoint_classes, load_checkpoint, load_weights, require_fit, secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import base_files, load_config, name_of, name_run, set_work_dir
from mmagg.apis.config_options import check_options, options_kept
from mmagg.apis.data import check_data, data_files, use_coco_folder, without_annotations
from mmagg.apis.exported_options import is_exported, refuse_exported_options, refuse_torch_options
from mmagg.apis.exported_testing import evaluate_exported
from mmagg.apis.helper_variables import READ_KEYS
from mmagg.apis.inference import ask_for_rle, draw_rle, for_inference
from mmagg.apis.launch import end_processes, is_main, start_processes
from mmagg.apis.named_weights import chosen, file_of
from mmagg.apis.plain_model import model_without_numbers
from mmagg.apis.report import RunReport
from mmagg.apis.runner_settings import check_settings
from mmagg.apis.testing_outputs import check_outputs, files_of
from mmagg.apis.tiled_testing import tile_options, use_tiles
from mmagg.apis.tta import detector_of, use_tta
from mmagg.datasets.config_parts import type_name
from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.engine.bare_model import bare_model
from mmagg.engine.brief_runner import BriefRunner
from mmagg.engine.detection_cap import DetectionCapHook, detection_cap
from mmagg.engine.first_step import FirstStepHook
from mmagg.engine.formatted_config import FormattedConfig
from mmagg.engine.log_lines import LogLines
from mmagg.engine.overlays import OverlayHook
from mmagg.engine.progress import ProgressHook
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.coco_scores import check_images
from mmagg.evaluation.results import CocoResults, PickledResults
from mmagg.io.errors import EXPECTED, InputError, check_fraction, one_line
from mmagg.io.files import check_file, write_json
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import picture_paths
from mmagg.models.postprocess import encode_masks

# What `_runner_for_testing` and `test` take out of a config.
UNREAD = {f'{stage}_{part}' for stage in ('train', 'val') for part in ('dataloader', 'cfg', 'evaluator')} | {
    *('optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'resume', 'load_from')
}

TRAINING = {'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr'}

# Hooks that a test does without: one asks for a training's loop, the other exchanges the weights for their averages,
# which those of a checkpoint are already.
OF_TRAINING = {'EarlyStoppingHook', 'EMAHook'}


def test(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    coco: str | Path | None = None,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    report: str | Path | None = None,
    show_score_thr: float = 0.3,
    tta: bool = False,
    tile: int | None = None,
    overlap: float | None = None,
    full_image: bool = False,
    skip_check: bool = False,
    cfg_options: dict | None = None,
    compile: bool = False,
    launcher: str = 'none',
    trust_checkpoint: bool = False,
    runtime: str | None = None,
    on_metrics: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a model on the config's test data; the metrics are also written to metrics.json in the work dir.

    Predictions are written before they are scored, and metrics before the report: no failure loses what was there.

    Args:
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, or a loaded config, which stays as it is; or the
            file of an exported model (``model.onnx``), alone and with `coco`, see `evaluate_exported`.
        checkpoint: a .pth file or a URL.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        coco: a folder in COCO format to test on instead of what the config names.
        work_dir: default: the config's, else ``work_dirs/<config name>``.
        out: a file for the predictions: COCO results (.json) or mmdet's samples (.pkl). Beside NAME.json of a model
            with masks, NAME.segm.json has the masks alone and NAME.bbox.json the boxes, for pycocotools.
        show_dir: a folder for each image with its predictions.
        report: a folder for report.html, one page with scores, curves, errors, images and latency, and results.json.
        show_score_thr: predictions are drawn from this score on, from 0 to 1, also in the report.
        tta: test-time augmentation; see `mmagg.apis.tta`.
        tile: predict each image by overlapping tiles of so many pixels a side; see `mmagg.apis.tiles`.
        overlap: share of a tile that its neighbour sees, too; by default 0.2.
        full_image: with tiles, predict each image as a whole as well, for what is larger than a tile.
        skip_check: do not look at each image and annotation first.
        cfg_options: changes to the config, dotted keys. Those for training alone, and those for validation that stand
            beside the same for testing, are named in a line, as scripts pass the same to both; others that are not
            read are refused.
        compile: compile the backbone, the neck and the towers, see `compile_parts`.
        launcher: the starter of several processes (pytorch, slurm or mpi), or none.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.
        runtime: of an exported model, as of `Segmenter`.
        on_metrics: is called with the metrics in the main process, before the report is written.

    Returns:
        the metrics by name, fractions; 0 where the model found nothing in any image. None of images without
        annotations, as COCO's test-dev: their predictions are for `out` and `show_dir`.

    Raises:
        InputError: the config, the data, the checkpoint or an option cannot be used.
    """
    if isinstance(config, str | Path) and is_exported(config):
        others = {'weights': weights, 'tta': tta, 'cfg_options': cfg_options, 'compile': compile, 'launcher': launcher}
        others |= {'checkpoint': checkpoint, 'trust_checkpoint': trust_checkpoint, 'report': report}
        refuse_torch_options(config, others)
        return evaluate_exported(
            config,
            coco=coco,
            work_dir=work_dir,
            out=out,
            show_dir=show_dir,
            show_score_thr=show_score_thr,
            tile=tile,
            overlap=overlap,
            full_image=full_image,
            skip_check=skip_check,
            runtime=runtime,
            on_metrics=on_metrics,
        )
    refuse_exported_options(checkpoint, weights, runtime)
    out, show_dir, report = (None if path is None else Path(path) for path in (out, show_dir, report))
    check_fraction(show_score_thr, '--show-score-thr')
    check_outputs(out, show_dir, report)
    tiles = tile_options(tile, overlap, full_image, tta=tta)
    secure_loading(trust=trust_checkpoint)
    config, checkpoint, cfg_options = chosen(
        config, checkpoint, weights, cfg_options, trust=trust_checkpoint, main=is_main(launcher)
    )
    changes: list[Callable[[Config], None]] = [partial(use_coco_folder, folder=coco, stages=['test']), ask_for_rle]
    reads = READ_KEYS - UNREAD - (set() if tta else {'tta_model', 'tta_pipeline'})
    cfg_options, unread = _split(cfg_options or {})
    name, cfg = name_of(config), load_config(config, cfg_options, changes=changes, reads=reads)
    check_options(cfg, unread)
    if unread and is_main(launcher):
        tqdm.write(f'note: --cfg-options {" ".join(unread)}: not read by a test', file=sys.stderr)
    for part in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(part) is None:
            raise InputError(f'config {name}: no `{part}`, so it cannot be tested')
    _score_nothing_unknown(cfg, cfg_options, asked=out or show_dir, report=report, main=is_main(launcher))
    check_settings(cfg, name, ['test'])
    with options_kept(cfg, cfg_options):
        cfg.launcher = launcher
        work_dir = set_work_dir(cfg, name, work_dir)
    scores = work_dir / 'metrics.json'
    check_file(scores, '--work-dir')
    if out is not None and out.resolve() == scores.resolve():
        raise InputError(f'--out {out}: the metrics are written there; name another file')
    inputs = [name, *base_files(cfg), checkpoint, file_of(weights)]
    outputs = {'--show-dir': show_dir, '--report': report, '--work-dir': scores}
    data = data_files(cfg, coco)
    for flag, output in (*outputs.items(), *(('--out', file) for file in files_of(out))):
        keep_apart({flag: output}, [*inputs, *data])
    keep_apart({'--work-dir': work_dir}, data)  # config and checkpoint may lie in it
    check_data(cfg, ['test'], purpose='test', launcher=launcher, skip_check=skip_check, tile=tile)
    content = load_checkpoint(checkpoint)
    require_fit(model_without_numbers(cfg), content, checkpoint)
    if tta:
        use_tta(cfg, cfg_options)
    if tiles is not None:
        use_tiles(cfg, tiles)
    cfg.resume, cfg.load_from = False, None
    start_processes(cfg, launcher)

    runner = _runner_for_testing(cfg)
    detector = detector_of(bare_model(runner))
    load_weights(detector, content, checkpoint)
    encode_masks(detector)
    if not any(isinstance(hook, EMAHook) for hook in runner.hooks):  # one derived from it swaps weights one by one
        for_inference(detector)
    if compile:
        compile_parts(detector)
    _compare_classes(runner, checkpoint_classes(content))
    name_images_in_errors(runner.test_dataloader.dataset)
    _check_images(runner)
    page = None if report is None else RunReport(runner, report, model=bare_model(runner), compiled=compile)
    writers = _writers(runner, out) + ([] if page is None else [page.results])
    runner.test_evaluator.metrics[:0] = writers  # before the scores
    if show_dir is not None:
        _add_pictures(runner, show_dir, show_score_thr)
    if tiles is None and (cap := detection_cap(cfg)):  # that of a tile is none of an image
        runner.register_hook(DetectionCapHook(cap))
    runner.register_hook(ProgressHook())
    runner.logger.addFilter(LogLines())
    runner.register_hook(first := FirstStepHook())
    with _predictions_told(writers, runner), first.watched():
        metrics = runner.test()
    if is_main_process() and cfg.test_evaluator:
        write_json(metrics, scores)
        if on_metrics is not None:
            on_metrics(metrics)
        if page is not None:
            page.write(config=Path(name).stem, checkpoint=checkpoint, metrics=metrics, score_thr=show_score_thr)
    end_processes()
    return metrics


def _split(options: dict) -> tuple[dict, dict]:
    """Options for a test, and those of a script that passes the same to training."""
    unread = {
        key: value
        for key, value in options.items()
        if key.partition('.')[0] in TRAINING
        or (key.startswith('val_') and f'test_{key.removeprefix("val_")}' in options)
    }
    return {key: value for key, value in options.items() if key not in unread}, unread


def _score_nothing_unknown(cfg: Config, options: dict, *, asked: Path | None, report: Path | None, main: bool) -> None:
    """Leave out the evaluators where the test images have no annotations, as those of COCO's test-dev."""
    if any(key.startswith('test_evaluator') for key in options) or (path := without_annotations(cfg)) is None:
        return
    if report is not None:
        raise InputError(f'--report: {path} has no annotations to report on; leave it out')
    if asked is None:
        raise InputError(f'{path} has no annotations: there is nothing to score; add --out FILE.json or --show-dir DIR')
    cfg.test_evaluator = []
    if main:
        tqdm.write(f'note: {path} has no annotations: nothing is scored', file=sys.stderr)


def _runner_for_testing(cfg: Config) -> Runner:
    """A runner without training and validation: no optimiser is built, no other data are read."""
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[part] = None
    for part in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[part] = None
    name_run(cfg)
    draw_rle(cfg)
    if hooks := cfg.get('custom_hooks'):
        cfg.custom_hooks = [hook for hook in hooks if type_name(hook) not in OF_TRAINING]
    return _TestRunner.from_cfg(FormattedConfig.of(cfg))


class _TestRunner(BriefRunner):
    def dump_config(self) -> None:
        """Leave the config in the work dir as training wrote it: this one has no training and may be wrapped."""


def _compare_classes(runner: Runner, trained: tuple[str, ...] | None) -> None:
    """Warn where the classes of the data are not those that a checkpoint was trained for."""
    classes = tuple(runner.test_dataloader.dataset.metainfo.get('classes', ()))
    if trained is not None and trained != classes:
        runner.logger.warning(
            f'the checkpoint was trained for {_shorten(trained)}, the data has {_shorten(classes)}: '
            'results are meaningless where the order differs'
        )


def _check_images(runner: Runner) -> None:
    """Refuse images that a metric does not know, and say where those that are not tested count as missed."""
    dataset = runner.test_dataloader.dataset
    if not hasattr(dataset, 'get_data_info'):
        return
    image_ids = {dataset.get_data_info(i).get('img_id') for i in range(len(dataset))} - {None}
    for metric in runner.test_evaluator.metrics:
        if isinstance(metric, COCOInstanceMetric):
            check_images(metric.annotations, image_ids)
        known = getattr(metric, '_coco_api', None)
        if isinstance(metric, CocoMetric) and known is not None and len(known.imgs) > len(image_ids):
            runner.logger.warning(
                f'{len(image_ids)} of {len(known.imgs)} images are tested; {type(metric).__name__} takes all objects '
                'of the others for missed, COCOInstanceMetric does not'
            )


def _writers(runner: Runner, out: Path | None) -> list[CocoResults | PickledResults]:
    """The writer of the predictions, if they are asked for."""
    if out is None:
        return []
    if out.suffix != '.json':
        return [PickledResults(path=out)]
    dataset = runner.test_dataloader.dataset
    if not hasattr(dataset, 'cat_ids'):
        raise InputError(f'--out {out}: {type(dataset).__name__} has no COCO category ids; use --out FILE.pkl')
    return [CocoResults(path=out, category_ids=dataset.cat_ids)]


def _add_pictures(runner: Runner, folder: Path, score_thr: float) -> None:
    """Let the runner draw the predictions."""
    dataset = runner.test_dataloader.dataset
    images = (dataset.get_data_info(index)['img_path'] for index in range(len(dataset)))
    root = getattr(dataset, 'data_prefix', {}).get('img')
    pictures = picture_paths(images, folder, root=root, flag='--show-dir')
    classes = tuple(dataset.metainfo.get('classes', ()))
    runner.register_hook(OverlayHook(pictures=pictures, classes=classes, score_thr=score_thr))


@contextmanager
def _predictions_told(writers: Sequence[CocoResults | PickledResults], runner: Runner) -> Iterator[None]:
    """Say of a test that fails or is interrupted where its predictions are, or that they are not written."""
    try:
        yield
    except BaseException as error:
        if not writers or not is_main_process():
            raise
        done = next((writer for writer in writers if writer.written), None)
        if done is None:
            places = ' and '.join(f'{one.path}{" (which is older)" * one.path.exists()}' for one in writers)
            told = f'the test did not come to its end, so its predictions are not written to {places}'
        else:
            told = f'the predictions are in {done.path}'
            if isinstance(done, CocoResults):
                told += f'; `mmagg analyse-groups {runner.test_dataloader.dataset.ann_file} {done.path}` scores them'
            if isinstance(error, EXPECTED):
                raise InputError(f'scores failed: {one_line(error)}; {told}') from error
        print_log(told, logger='current', level=logging.WARNING)
        raise


def _shorten(classes: tuple[str, ...]) -> str:
    return ', '.join(classes[:4]) + (f', … ({len(classes)} classes)' if len(classes) > 4 else '')
