"""Train a model."""

import argparse
import sys
from pathlib import Path

from mmagg.cli.arguments import add_coco, add_run_arguments, add_skip_check, add_weights, at_least, positive, seed
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
    parser.add_argument('--seed', type=seed, metavar='N', help='seed of all random numbers')
    _add_length(parser)
    _add_data(parser)
    _add_learning(parser)
    _add_watching(parser)
    add_skip_check(parser)
    add_run_arguments(parser)
    return parser


def _add_length(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('how long', 'What these and the next ones set is in the config that is saved.')
    group.add_argument(
        '--epochs', type=positive, metavar='N', help='schedules, validations and checkpoints move in proportion'
    )
    group.add_argument(
        '--patience',
        type=positive,
        metavar='N',
        help='end when the watched score has not risen in N validations, counted from the first one above 0 on',
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('images')
    group.add_argument(
        '--batch-size', type=positive, metavar='N', help='images a step, on each GPU; the learning rate goes with them'
    )
    group.add_argument(
        '--accumulate', type=positive, metavar='N', help='add up the gradients of N steps; as N times the batch'
    )
    group.add_argument(
        '--short-side', type=positive, metavar='N', help='pixels in tests; all sizes of training move in proportion'
    )
    group.add_argument('--class-balanced', action='store_true', help='repeat images with classes that are rare')
    group.add_argument(
        '--max-detections', type=positive, metavar='N', help='objects that the model may find in an image'
    )
    group.add_argument('--workers', type=at_least(0), metavar='N', help='processes that load images')


def _add_learning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('learning')
    group.add_argument('--ema', action='store_true', help='average the weights; the averages are tested and saved')
    group.add_argument(
        '--freeze',
        type=at_least(0),
        metavar='STAGES',
        help='stages of the backbone, after the stem, that do not learn: from 0, the stem alone, to their number (4 of '
        'a ResNet and of EfficientNet-Lite0); the configs of COCO freeze 1',
    )
    group.add_argument('--amp', action='store_true', help='mixed precision (float16 on CUDA, bfloat16 on CPU)')


def _add_watching(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('watching')
    group.add_argument(
        '--save-best',
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the checkpoint with the best mask AP as well, unless the config's save_best names another score",
    )
    group.add_argument(
        '--val-images',
        type=at_least(0),
        default=6,
        metavar='N',
        help='on the sheet of truth beside prediction after each validation; 0: none (%(default)s)',
    )
    group.add_argument(
        '--val-loss', action='store_true', help='after each validation also the losses of its images: a second pass'
    )
    group.add_argument(
        '--logger',
        action='append',
        default=[],
        choices=('tensorboard', 'wandb', 'mlflow', 'clearml', 'neptune', 'dvclive', 'aim'),
        help='log there as well; may be given several times',
    )
    group.add_argument(
        '--tensorboard',
        action='store_true',
        help='the same as --logger tensorboard; to look at it: tensorboard --logdir work_dirs/<config name>',
    )


def run(args: argparse.Namespace) -> None:
    """Train as the arguments say; the last lines sum it up, with the commands that use and test the model."""
    from mmagg.apis.launch import is_main
    from mmagg.apis.run_summary import run_summary
    from mmagg.apis.training import train
    from mmagg.cli.next_command import sibling

    try:
        work_dir = train(**vars(args))
    except Unread as error:
        ended = 'the training has ended, as nobody reads what it prints any more'
        print('; '.join([ended, *notes(error)]), file=sys.stderr)
        raise
    config = work_dir / Path(args.config.rpartition('::')[2]).name  # with flags, --coco and --cfg-options in it
    found = run_summary(work_dir, config) if is_main(args.launcher) else None
    if found is not None:
        print(found)
        model = config if config.is_file() else args.config, found.checkpoint
        print(f'predict: {sibling("demo", found.images or "IMAGE", *model, "--out-dir", work_dir / "predictions")}')
        print(f'next: {sibling("test", *model)}')
