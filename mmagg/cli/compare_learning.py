"""Configs trained on the same data with several seeds, as ``tools/analysis/compare_learning.py`` offers it."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from tqdm import tqdm

from mmagg.io.errors import InputError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
METRICS = {
    'mask AP': 'coco/segm_mAP',
    'AP50': 'coco/segm_mAP_50',
    'AP75': 'coco/segm_mAP_75',
    'box AP': 'coco/bbox_mAP',
}


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/compare_learning.py``."""
    parser = argparse.ArgumentParser(
        description='Train every config with every seed on the same data, test each on the validation images, and '
        'print mean ± standard deviation over the seeds. Runs that are finished already are not repeated.',
        epilog='example: python tools/analysis/compare_learning.py configs/demo/solo_tiny_shapes.py '
        'configs/demo/aggmask_tiny_shapes.py --coco shapes --seeds 0 1 2 --jobs 2',
    )
    parser.add_argument('configs', nargs='+', type=Path, metavar='CONFIG')
    parser.add_argument('--coco', type=Path, required=True, metavar='DIR', help='data, a COCO-format folder')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='S', help='default: 0 1 2')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/compare_learning'), metavar='DIR')
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='J', help='runs at a time, each on its share of the cores (%(default)s)'
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='for all configs')
    return parser


def run(args: argparse.Namespace) -> None:
    """Train and test as the arguments of `parser` say."""
    missing = [str(path) for path in args.configs if not path.is_file()]
    if missing:
        raise InputError(f'no such config: {", ".join(missing)}')
    if len({path.stem for path in args.configs}) < len(args.configs):
        raise InputError('two configs have the same name; results are kept by name')
    runs = list(product(args.configs, args.seeds))
    with ThreadPoolExecutor(max(1, args.jobs)) as pool, tqdm(total=len(runs), desc='runs') as bar:

        def run(config: Path, seed: int) -> dict[str, float]:
            metrics = finished_run(config, seed, args)
            bar.update()
            return metrics

        results = list(pool.map(run, *zip(*runs, strict=True)))
    by_config = {path.stem: results[i * len(args.seeds) :][: len(args.seeds)] for i, path in enumerate(args.configs)}
    print(table(by_config))


def finished_run(config: Path, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """The test metrics of one run, which is made, or gone on with, if it is not finished."""
    out = args.work_dir / config.stem / f'seed-{seed}'
    metrics = out / 'test' / 'metrics.json'
    if not metrics.is_file():
        common = ['--coco', str(args.coco)]
        options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
        train = ['train.py', str(config), *common, '--work-dir', str(out), '--seed', str(seed), '--resume', *options]
        call(train, out / 'train.txt', args.jobs)
        checkpoint = (out / 'last_checkpoint').read_text().strip()
        test = ['test.py', str(config), checkpoint, *common, '--work-dir', str(metrics.parent), *options]
        call(test, out / 'test.txt', args.jobs)
    return json.loads(metrics.read_text())


def call(command: Sequence[str], log: Path, jobs: int) -> None:
    """Run a tool with its output in a file.

    Raises:
        InputError: it failed; with the last line of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = os.environ | {'OMP_NUM_THREADS': str(threads)}
    with log.open('w') as file:
        done = subprocess.run(
            [sys.executable, str(TOOLS / command[0]), *command[1:]],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    if done.returncode:
        last = (log.read_text(errors='replace').strip().splitlines() or ['no output'])[-1]
        raise InputError(f'{" ".join(command[:2])} failed: {last} (all of it: {log})')


def table(by_config: dict[str, list[dict[str, float]]]) -> str:
    """Markdown, a row per config: mean ± standard deviation over the runs, in per cent."""
    lines = [f'| config | runs | {" | ".join(METRICS)} |', '|---' * (len(METRICS) + 2) + '|']
    for name, runs in by_config.items():
        # A model that found nothing has no metrics.
        columns = [[100 * max(0.0, run.get(key, 0.0)) for run in runs] for key in METRICS.values()]
        cells = [f'{mean(x):.1f} ± {stdev(x) if len(x) > 1 else 0:.1f}' for x in columns]
        lines.append(f'| {name} | {len(runs)} | {" | ".join(cells)} |')
    return '\n'.join(lines)
