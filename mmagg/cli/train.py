"""Training, as ``tools/train.py`` offers it."""

import argparse
import importlib
from pathlib import Path

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmagg.apis.amp import enable_amp
from mmagg.apis.checkpoint import load_weights, read_checkpoint, secure_loading
from mmagg.apis.compilation import add_compile_flag, compile_parts
from mmagg.apis.config import load_config, set_work_dir
from mmagg.apis.data import check_annotations, use_coco_folder
from mmagg.apis.launch import LAUNCHERS, end_processes, is_main, start_processes
from mmagg.cli.arguments import add_cfg_options, add_coco, add_trust_flag
from mmagg.engine import FiniteLossHook, ValidationLossHook
from mmagg.engine.learning_curves import LearningCurvesHook
from mmagg.engine.progress import ProgressHook
from mmagg.io.errors import InputError

AUTO = 'auto'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/train.py``."""
    parser = argparse.ArgumentParser(
        description='Train a model. Checkpoints, logs and learning curves (curves.png, curves.csv) go to the work dir. '
        'A loss that is not finite ends the training with the names of the images and exit code 3 (1 from torchrun).',
        epilog='example: python tools/train.py configs/solo/solo_r50_fpn_1x_coco.py --coco data/mine',
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    add_coco(parser, 'train')
    parser.add_argument('--work-dir', type=Path, metavar='DIR', help='default: work_dirs/<config name>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const=AUTO,
        metavar='CKPT',
        help='go on from this checkpoint, without a value from the last one in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (float16 on CUDA, bfloat16 on CPU)')
    parser.add_argument(
        '--val-loss', action='store_true', help='after each validation also the losses of its images: a second pass'
    )
    parser.add_argument(
        '--tensorboard',
        action='store_true',
        help='log for TensorBoard as well; to look at it: tensorboard --logdir work_dirs/<config name>',
    )
    parser.add_argument('--seed', type=int, metavar='N', help='seed of all random numbers')
    parser.add_argument('--skip-check', action='store_true', help='with --coco: do not look at the data first')
    add_common_arguments(parser)
    return parser


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that training and testing share."""
    add_cfg_options(parser, 'change the config, e.g. train_dataloader.batch_size=4; lists as "[1,2]"')
    add_compile_flag(parser)
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='set by dist_*.sh and slurm_*.sh')
    add_trust_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Train as the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    if args.coco:
        use_coco_folder(cfg, args.coco)
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(part):
            raise InputError(f'config {args.config}: no `{part}`, so it cannot be trained')
    if args.val_loss and not cfg.get('val_dataloader'):
        raise InputError(f'--val-loss: config {args.config} has no validation (val_dataloader, val_cfg, val_evaluator)')
    work_dir = set_work_dir(cfg, args.config, args.work_dir)
    if args.amp:
        enable_amp(cfg)
    if args.tensorboard:
        use_tensorboard(cfg)
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    checkpoint = _resume(cfg, args.resume, work_dir, args.launcher)
    if args.coco and not args.skip_check:
        check_annotations(cfg, args.launcher)
    start_processes(cfg, args.launcher)
    runner = Runner.from_cfg(cfg)
    if args.compile:
        compile_parts(unwrapped(runner))
    if checkpoint is not None:  # mmengine resumes with whatever part of the weights happens to fit
        load_weights(unwrapped(runner), checkpoint, cfg.load_from)
    runner.register_hook(ProgressHook())
    curves = _watch(runner, val_loss=args.val_loss)
    try:
        runner.train()
    finally:
        curves.draw(runner)
    end_processes()


def use_tensorboard(cfg: Config) -> None:
    """Let the visualizer write TensorBoard's event files beside its own.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        importlib.import_module('torch.utils.tensorboard')
    except ImportError as error:
        raise InputError(f'--tensorboard: {error}; pip install tensorboard') from error
    visualizer = cfg.setdefault('visualizer', dict(type='DetLocalVisualizer'))
    backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]


def _watch(runner: Runner, *, val_loss: bool) -> LearningCurvesHook:
    """Add the hooks that every training has, unless the config has them; returns the one that draws the curves."""
    wanted = [FiniteLossHook, *([ValidationLossHook] if val_loss else [])]
    present = {type(hook) for hook in runner.hooks}
    # Not by the config: it is saved for testing, where mmagg may be unknown.
    for kind in wanted:
        if kind not in present:
            runner.register_hook(kind())
    curves = LearningCurvesHook()
    runner.register_hook(curves)
    return curves


def unwrapped(runner: Runner) -> nn.Module:
    """The runner's model without the wrapper of distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _resume(cfg: Config, resume: str | None, work_dir: Path, launcher: str) -> dict | None:
    """Set the config up to resume; returns the checkpoint to go on from, None to start from the beginning."""
    if resume is None:
        return None
    source = latest_checkpoint(work_dir) if resume == AUTO else Path(resume)
    if source is None:
        if is_main(launcher):
            print(f'--resume: no checkpoint in {work_dir} yet, starting from the beginning')
        return None
    checkpoint = read_checkpoint(source)
    if 'optimizer' not in checkpoint or 'message_hub' not in checkpoint:
        raise InputError(
            f'checkpoint {source}: holds weights only; to start from it use --cfg-options load_from={source}'
        )
    cfg.resume, cfg.load_from = True, str(source)
    return checkpoint


def latest_checkpoint(work_dir: Path) -> Path | None:
    """The last checkpoint that a run completed in ``work_dir``, also if the folder has been moved since.

    Raises:
        InputError: the work dir names a checkpoint that is gone.
    """
    note = work_dir / 'last_checkpoint'  # mmengine writes it after the checkpoint itself, so that one is whole
    if not note.is_file():
        return None
    named = Path(note.read_text().strip())
    found = next((path for path in (named, work_dir / named.name) if path.is_file()), None)
    if found is None:
        raise InputError(f'--resume: {note} names {named}, which is not there; pass --resume CKPT')
    return found
