"""Train a model."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_coco, add_run_arguments


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
        const=True,
        default=False,
        metavar='CKPT',
        help='go on from this checkpoint, without a value from the last whole one in the work dir',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the run in the work dir: a folder with checkpoints is refused, unless --resume goes on with it',
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
    add_run_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Train as the arguments say."""
    from mmagg.apis.training import train

    train(**vars(args))
