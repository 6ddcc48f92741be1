"""Train a model."""

import argparse
import sys
from pathlib import Path

from mmagg.cli.arguments import add_coco, add_run_arguments, add_skip_check, add_weights
from mmagg.cli.output import Unread
from mmagg.cli.stopping import notes


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/train.py``."""
    parser = argparse.ArgumentParser(
        description='Train a model. Checkpoints, logs and learning curves (curves.png, curves.csv) go to the work dir. '
        'A loss that is not finite ends the training with the names of the images and exit code 3 (1 from torchrun).',
        epilog='example: python tools/train.py configs/solo/solo_r50_fpn_1x_coco.py --coco data/mine',
    )
    parser.add_argument('config', help='config file, or mmagg::<path> or mmdet::<path>')
    add_coco(parser, 'train')
    parser.add_argument('--work-dir', type=Path, metavar='DIR', help='default: work_dirs/<config name>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CKPT',
        help='go on from this checkpoint, without a value from the last whole one in the work dir; schedules are those '
        'of the config. Where nothing is left to train, a line says so: exit code 0, and 2 for a CKPT that was named',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the run in the work dir: a folder with checkpoints is refused, unless --resume goes on with it',
    )
    add_weights(parser, 'start from these:')
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help="start also from a checkpoint (--weights, or the config's load_from) that has less than half of the "
        "model, or is another project's",
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
    add_skip_check(parser)
    add_run_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Train as the arguments say; the last line is the command that tests the model."""
    from mmagg.apis.launch import is_main
    from mmagg.apis.training import train
    from mmagg.cli.next_command import sibling

    try:
        work_dir = train(**vars(args))
    except Unread as error:
        ended = 'the training has ended, as nobody reads what it prints any more'
        print('; '.join([ended, *notes(error)]), file=sys.stderr)
        raise
    checkpoint = _best_or_last(work_dir)
    if checkpoint is not None and is_main(args.launcher):
        config = work_dir / Path(args.config.rpartition('::')[2]).name  # with --coco and --cfg-options in it
        print(f'next: {sibling("test", config if config.is_file() else args.config, checkpoint)}')


def _best_or_last(work_dir: Path) -> Path | None:
    """The checkpoint to test: the best one, if a training keeps that, else the last."""
    from mmagg.io.run_folder import noted

    last = noted(work_dir)
    folder = work_dir if last is None else last.parent
    return max(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime, default=last)
