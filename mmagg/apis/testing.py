"""Testing a model: its metrics, and files and pictures of its predictions."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mmagg.apis.checkpoint import checkpoint_classes, load_checkpoint, load_weights, secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import load_config, name_of, name_visualizer, set_work_dir
from mmagg.apis.data import data_files, use_coco_folder
from mmagg.apis.hardware import hardware
from mmagg.apis.inference import ask_for_rle, draw_rle, for_inference
from mmagg.apis.launch import end_processes, start_processes
from mmagg.apis.training import unwrapped
from mmagg.apis.tta import detector_of, use_tta
from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.engine.formatted_config import FormattedConfig
from mmagg.engine.latency import LatencyHook
from mmagg.engine.overlays import OverlayHook
from mmagg.engine.progress import ProgressHook
from mmagg.evaluation.report import Evaluation, write_report
from mmagg.evaluation.results import CocoResults, PickledResults
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import check_folder, write_json
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import picture_paths


def test(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    coco: str | Path | None = None,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    report: str | Path | None = None,
    show_score_thr: float = 0.3,
    tta: bool = False,
    cfg_options: dict | None = None,
    compile: bool = False,
    launcher: str = 'none',
    trust_checkpoint: bool = False,
) -> dict[str, Any]:
    """Evaluate a model on the config's test data; the metrics are also written to metrics.json in the work dir.

    Args:
        config: a config file, ``mmdet::<path>`` for one of mmdet, or a loaded config, which stays as it is.
        checkpoint: a .pth file or a URL.
        coco: a folder in COCO format to test on instead of what the config names.
        work_dir: default: the config's, else ``work_dirs/<config name>``.
        out: a file for the predictions: COCO results (.json) or mmdet's samples (.pkl).
        show_dir: a folder for each image with its predictions.
        report: a folder for report.html, one page with scores, curves, errors, images and latency, and results.json.
        show_score_thr: predictions are drawn from this score on, from 0 to 1, also in the report.
        tta: test-time augmentation; see `mmagg.apis.tta`.
        cfg_options: changes to the config, dotted keys.
        compile: compile the backbone, the neck and the towers, see `compile_parts`.
        launcher: the starter of several processes (pytorch, slurm or mpi), or none.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Returns:
        the metrics by name, fractions; 0 where the model found nothing in any image.

    Raises:
        InputError: the config, the data, the checkpoint or an option cannot be used.
    """
    out, show_dir, report = (path and Path(path) for path in (out, show_dir, report))
    if out is not None and out.suffix not in ('.json', '.pkl', '.pickle'):
        raise InputError(f'--out {out}: the name must end in .json or .pkl')
    check_fraction(show_score_thr, '--show-score-thr')
    for flag, folder in (('--out', out and out.parent), ('--show-dir', show_dir), ('--report', report)):
        if folder is not None:
            check_folder(folder, flag)
    secure_loading(trust=trust_checkpoint)
    name, cfg = name_of(config), load_config(config, cfg_options)
    if coco:
        use_coco_folder(cfg, coco)
    for part in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(part) is None:
            raise InputError(f'config {name}: no `{part}`, so it cannot be tested')
    work_dir = set_work_dir(cfg, name, work_dir)
    scores = work_dir / 'metrics.json'
    if out is not None and out.resolve() == scores.resolve():
        raise InputError(f'--out {out}: the metrics are written there; name another file')
    outputs = {'--out': out, '--show-dir': show_dir, '--report': report, '--work-dir': scores}
    keep_apart(outputs, [name, checkpoint, *data_files(cfg, coco)])
    ask_for_rle(cfg)
    if tta:
        use_tta(cfg)
    cfg.resume, cfg.load_from = False, None
    content = load_checkpoint(checkpoint)
    start_processes(cfg, launcher)

    runner = _runner_for_testing(cfg)
    detector = detector_of(unwrapped(runner))
    load_weights(detector, content, checkpoint)
    if not any(isinstance(hook, EMAHook) for hook in runner.hooks):  # it swaps weights one by one
        for_inference(detector)
    if compile:
        compile_parts(detector)
    _compare_classes(runner, checkpoint_classes(content))
    name_images_in_errors(runner.test_dataloader.dataset)
    _add_outputs(runner, out=out, show_dir=show_dir, score_thr=show_score_thr)
    latency = None if report is None else _add_report(runner, report, compiled=compile)
    runner.register_hook(ProgressHook())
    metrics = runner.test()
    if is_main_process():
        write_json(metrics, scores)
        if latency is not None:
            dataset = runner.test_dataloader.dataset
            tested = Evaluation(
                config=Path(name).stem,
                checkpoint=str(checkpoint),
                annotations=Path(dataset.ann_file),
                results=report / 'results.json',
                image_folder=Path(dataset.data_prefix.get('img', '.')),
                category_ids=dataset.cat_ids,
                tested=len(dataset),
                metrics=metrics,
                seconds=latency.mean(),
                machine=hardware(str(latency.clock.device)),
            )
            write_report(tested, report / 'report.html', score_thr=show_score_thr)
    end_processes()
    return metrics


def _runner_for_testing(cfg: Config) -> Runner:
    """A runner without training and validation: no optimiser is built, no other data are read."""
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[part] = None
    for part in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[part] = None
    name_visualizer(cfg)
    draw_rle(cfg)
    return _TestRunner.from_cfg(FormattedConfig.of(cfg))


class _TestRunner(Runner):
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


def _add_outputs(runner: Runner, *, out: Path | None, show_dir: Path | None, score_thr: float) -> None:
    """Let the runner write a file and pictures of the predictions, as asked for."""
    dataset = runner.test_dataloader.dataset
    if out is not None and out.suffix == '.json':
        if not hasattr(dataset, 'cat_ids'):
            raise InputError(f'--out {out}: {type(dataset).__name__} has no COCO category ids; use --out FILE.pkl')
        runner.test_evaluator.metrics.append(CocoResults(path=out, category_ids=dataset.cat_ids))
    elif out is not None:
        runner.test_evaluator.metrics.append(PickledResults(path=out))
    if show_dir is not None:
        images = (dataset.get_data_info(index)['img_path'] for index in range(len(dataset)))
        root = getattr(dataset, 'data_prefix', {}).get('img')
        pictures = picture_paths(images, show_dir, root=root, flag='--show-dir')
        classes = tuple(dataset.metainfo.get('classes', ()))
        runner.register_hook(OverlayHook(pictures=pictures, classes=classes, score_thr=score_thr))


def _add_report(runner: Runner, folder: Path, *, compiled: bool) -> LatencyHook:
    """Let the runner write the predictions that a report needs, and measure their time."""
    dataset = runner.test_dataloader.dataset
    if not hasattr(dataset, 'cat_ids'):
        raise InputError(f'--report: {type(dataset).__name__} is not in COCO format')
    runner.test_evaluator.metrics.append(CocoResults(path=folder / 'results.json', category_ids=dataset.cat_ids))
    latency = LatencyHook(model=unwrapped(runner), compiled=compiled)
    runner.register_hook(latency)
    return latency


def _shorten(classes: tuple[str, ...]) -> str:
    return ', '.join(classes[:4]) + (f', … ({len(classes)} classes)' if len(classes) > 4 else '')
