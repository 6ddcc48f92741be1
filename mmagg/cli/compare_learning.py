"""Train configs with several seeds on the same data and compare their AP."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import positive, seed


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/compare_learning.py``."""
    parser = argparse.ArgumentParser(
        description='Train every config with every seed on the same data, test each on the validation images, and '
        'print mean ± standard deviation over the seeds. Runs that are finished already are not repeated.',
        epilog='example: python tools/analysis/compare_learning.py configs/demo/solo_tiny_shapes.py '
        'configs/demo/aggmask_tiny_shapes.py --coco shapes --seeds 0 1 2 --jobs 2',
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files, or mmagg::<path>')
    parser.add_argument('--coco', type=Path, required=True, metavar='DIR', help='data, a COCO-format folder')
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0, 1, 2], metavar='S', help='default: 0 1 2')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/compare_learning'), metavar='DIR')
    parser.add_argument(
        '--jobs',
        type=positive,
        default=1,
        metavar='J',
        help='runs at a time, which share the cores, or have OMP_NUM_THREADS threads each (%(default)s)',
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='for all configs')
    return parser


def run(args: argparse.Namespace) -> None:
    """Train and test as the arguments of `parser` say."""
    from mmagg.experiments.compare_learning import compare_learning, table

    print(table(compare_learning(**vars(args))))
