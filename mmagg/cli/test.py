"""Testing, as ``tools/test.py`` offers it."""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mmagg.apis.checkpoint import checkpoint_classes, load_weights, read_checkpoint, secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import load_config, set_work_dir
from mmagg.apis.data import use_coco_folder
from mmagg.apis.hardware import hardware
from mmagg.apis.inference import ask_for_rle, for_inference
from mmagg.apis.launch import end_processes, start_processes
from mmagg.apis.tta import add_tta_flag, detector_of, use_tta
from mmagg.cli.arguments import add_coco
from mmagg.cli.train import add_common_arguments, unwrapped
from mmagg.engine.latency import LatencyHook
from mmagg.engine.progress import ProgressHook
from mmagg.evaluation.report import Evaluation, write_report
from mmagg.evaluation.results import CocoResults, OverlayHook, PickledResults
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/test.py``."""
    parser = argparse.ArgumentParser(
        description='Evaluate a model; the metrics are printed and written to metrics.json in the work dir.'
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument('checkpoint', help='.pth file')
    add_coco(parser, 'test')
    parser.add_argument('--work-dir', type=Path, metavar='DIR', help='default: work_dirs/<config name>')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write predictions: COCO results (.json) or mmdet samples (.pkl)',
    )
    parser.add_argument('--show-dir', type=Path, metavar='DIR', help='write each image with its predictions here')
    parser.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='write report.html here, one page with scores, curves, errors, images and latency, and results.json',
    )
    parser.add_argument(
        '--show-score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='draw predictions from this score on, also in the report (%(default)s)',
    )
    add_tta_flag(parser)
    add_common_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Test as the arguments of `parser` say."""
    if args.out is not None and args.out.suffix not in ('.json', '.pkl', '.pickle'):
        raise InputError(f'--out {args.out}: the name must end in .json or .pkl')
    for flag, folder in (
        ('--out', args.out and args.out.parent),
        ('--show-dir', args.show_dir),
        ('--report', args.report),
    ):
        if folder is not None:
            check_folder(folder, flag)
    secure_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    if args.coco:
        use_coco_folder(cfg, args.coco)
    for part in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(part) is None:
            raise InputError(f'config {args.config}: no `{part}`, so it cannot be tested')
    work_dir = set_work_dir(cfg, args.config, args.work_dir)
    ask_for_rle(cfg)
    if args.tta:
        use_tta(cfg)
    cfg.resume, cfg.load_from = False, None
    checkpoint = read_checkpoint(args.checkpoint)
    start_processes(cfg, args.launcher)

    runner = _runner_for_testing(cfg)
    detector = detector_of(unwrapped(runner))
    load_weights(detector, checkpoint, args.checkpoint)
    if not any(isinstance(hook, EMAHook) for hook in runner.hooks):  # it swaps weights one by one
        for_inference(detector)
    if args.compile:
        compile_parts(detector)
    _add_outputs(runner, args, checkpoint)
    latency = _add_report(runner, args)
    runner.register_hook(ProgressHook())
    metrics = runner.test()
    if is_main_process():
        _print_metrics(metrics, work_dir / 'metrics.json')
        if latency is not None:
            _write_report(runner, args, metrics, latency)
    end_processes()


def _runner_for_testing(cfg: Config) -> Runner:
    """A runner that knows nothing of training: no optimiser is built, no training data read."""
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[part] = None
    for part in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[part] = None
    return _TestRunner.from_cfg(cfg)


class _TestRunner(Runner):
    def dump_config(self) -> None:
        """Leave the config in the work dir as training wrote it: this one has no training and may be wrapped."""


def _add_outputs(runner: Runner, args: argparse.Namespace, checkpoint: dict) -> None:
    """Result files and pictures that ``--out`` and ``--show-dir`` ask for."""
    dataset = runner.test_dataloader.dataset
    classes = tuple(dataset.metainfo.get('classes', ()))
    trained = checkpoint_classes(checkpoint)
    if trained is not None and trained != classes:
        runner.logger.warning(
            f'the checkpoint was trained for {_shorten(trained)}, the data has {_shorten(classes)}: '
            'results are meaningless where the order differs'
        )
    if args.out is not None and args.out.suffix == '.json':
        if not hasattr(dataset, 'cat_ids'):
            raise InputError(f'--out {args.out}: {type(dataset).__name__} has no COCO category ids; use --out FILE.pkl')
        runner.test_evaluator.metrics.append(CocoResults(path=args.out, category_ids=dataset.cat_ids))
    elif args.out is not None:
        runner.test_evaluator.metrics.append(PickledResults(path=args.out))
    if args.show_dir is not None:
        image_root = Path(dataset.data_prefix.get('img', '.'))
        runner.register_hook(
            OverlayHook(folder=args.show_dir, image_root=image_root, classes=classes, score_thr=args.show_score_thr)
        )


def _add_report(runner: Runner, args: argparse.Namespace) -> LatencyHook | None:
    """What ``--report`` needs of the run: the predictions, and the time that they take."""
    if args.report is None:
        return None
    dataset = runner.test_dataloader.dataset
    if not hasattr(dataset, 'cat_ids'):
        raise InputError(f'--report: {type(dataset).__name__} is not in COCO format')
    results = CocoResults(path=args.report / 'results.json', category_ids=dataset.cat_ids)
    runner.test_evaluator.metrics.append(results)
    latency = LatencyHook(model=unwrapped(runner), compiled=args.compile)
    runner.register_hook(latency)
    return latency


def _write_report(runner: Runner, args: argparse.Namespace, metrics: dict, latency: LatencyHook) -> None:
    dataset = runner.test_dataloader.dataset
    tested = Evaluation(
        config=Path(args.config).stem,
        checkpoint=str(args.checkpoint),
        annotations=Path(dataset.ann_file),
        results=args.report / 'results.json',
        image_folder=Path(dataset.data_prefix.get('img', '.')),
        category_ids=dataset.cat_ids,
        tested=len(dataset),
        metrics=metrics,
        seconds=latency.mean(),
        machine=hardware(str(latency.clock.device)),
    )
    write_report(tested, args.report / 'report.html', score_thr=args.show_score_thr)
    print(f'report: {args.report / "report.html"}')


def _print_metrics(metrics: dict, path: Path) -> None:
    """Print the metrics and write them down."""
    write_json(metrics, path)
    width = max((len(name) for name in metrics), default=0)
    for name, value in metrics.items():
        print(f'{name:<{width}}  {value:.4f}' if isinstance(value, float) else f'{name:<{width}}  {value}')
    if not metrics:
        print('no metrics: the model found nothing in any image')
    print(f'written to {path}')


def _shorten(classes: tuple[str, ...]) -> str:
    return ', '.join(classes[:4]) + (f', … ({len(classes)} classes)' if len(classes) > 4 else '')
