"""Show all of it on generated scenes: data, training, evaluation, a report."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, at_least


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/make_demo.py``."""
    parser = argparse.ArgumentParser(
        description='Show all of it on generated scenes: make data, train, evaluate on held-out scenes, draw '
        'overlays and curves, and write OUT/report.md.',
        epilog='The same command again: an interrupted demo goes on from its last checkpoint; a finished one '
        'says that it is done (--overwrite repeats it). Other arguments, or a changed config, replace the demo '
        'in OUT; shapes and trained models that they do not change are kept.',
    )
    parser.add_argument('--config', help='default: mmagg::demo/aggmask_tiny_shapes.py')
    parser.add_argument(
        '--compare',
        metavar='CONFIG',
        help='also train this config on the same scenes with the same budget and show its AP beside; takes as long '
        'again; e.g. mmagg::demo/solo_tiny_shapes.py',
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), metavar='OUT', help='default: %(default)s')
    for name, least, default, metavar, text in (
        ('--images', 1, 1000, 'N', 'scenes to train on (%(default)s)'),
        ('--val-images', 1, 100, 'M', 'held-out scenes (%(default)s)'),
        ('--size', 32, None, 'S', 'image side in pixels (default: as the config resizes)'),
        ('--seed', 0, 0, 'K', 'of the scenes and the training (%(default)s)'),
    ):
        parser.add_argument(name, type=at_least(least), default=default, metavar=metavar, help=text)
    parser.add_argument(
        '--overwrite', action='store_true', help='train again, also if OUT holds a finished or interrupted demo'
    )
    add_cfg_options(parser, 'change the config, and the compared one, e.g. train_cfg.max_epochs=1')
    return parser


def run(args: argparse.Namespace) -> None:
    """Run as the arguments say."""
    from mmagg.demo.make_demo import make_demo
    from mmagg.demo.report import average_precision, command_path
    from mmagg.io.errors import set_note

    try:
        demo = make_demo(**vars(args))
    except KeyboardInterrupt as error:
        set_note(error, 'the same command goes on')  # instead of the training's
        raise
    if demo.done_already:
        print('done already with these arguments; --overwrite repeats it')
    print(f'report: {command_path(demo.report)}')
    for which, metrics in (('', demo.metrics), (f' of {command_path(Path(args.compare or ""))}', demo.compared)):
        if metrics is not None:
            value = average_precision(metrics, 'segm') if metrics else 'none, the model found nothing'
            print(f'mask AP{which}: {value}')
