"""Configs trained on the same data with several seeds."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tqdm import tqdm

from mmagg.apis.config import base_files, config_file
from mmagg.apis.data import data_files
from mmagg.datasets.coco_defects import is_finite
from mmagg.io.errors import InputError, set_note
from mmagg.io.files import check_folder, read_json, write_json
from mmagg.io.paths import keep_apart
from mmagg.io.run_folder import noted
from mmagg.io.tables import NONE

PACKAGE = Path(__file__).resolve().parents[1]
_running: list[subprocess.Popen] = []  # what `call` waits for
METRICS_FILE = 'test/metrics.json'  # in the folder of a run
METRICS = {
    'mask AP': 'coco/segm_mAP',
    'AP50': 'coco/segm_mAP_50',
    'AP75': 'coco/segm_mAP_75',
    'box AP': 'coco/bbox_mAP',
}


def compare_learning(
    configs: Sequence[str | Path],
    *,
    coco: str | Path,
    seeds: Sequence[int] = (0, 1, 2),
    work_dir: str | Path = Path('work_dirs/compare_learning'),
    jobs: int = 1,
    cfg_options: Sequence[str] = (),
) -> dict[str, list[dict[str, float]]]:
    """Train every config with every seed, each in a process of its own, and test it on the validation images.

    Runs that are finished already are not repeated; one that was interrupted goes on.

    Args:
        configs: config files, or ``mmagg::<path>``, with names of their own.
        coco: the data, a folder in COCO format.
        seeds: of the trainings.
        work_dir: gets a folder ``<config name>/seed-<seed>`` for each run.
        jobs: runs at a time, each on its share of the cores.
        cfg_options: for all configs, KEY=VALUE as they are typed.

    Returns:
        The test metrics of each run, by config name, in the order of the seeds.

    Raises:
        InputError: a config is missing, two have the same name, a seed is given twice, ``work_dir`` holds runs of other
            data, options or contents of a config, a file of a finished run is damaged, or a run failed.
    """
    files, work_dir = [config_file(path) for path in configs], Path(work_dir)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputError(f'no such config: {", ".join(missing)}')
    if len({path.stem for path in files}) < len(files):
        raise InputError('two configs have the same name; results are kept by name')
    if len(set(seeds)) < len(seeds):
        raise InputError(f'--seeds {" ".join(map(str, seeds))}: a seed is given twice; results are kept by seed')
    runs, bases = list(product(files, seeds)), [base for path in files for base in base_files(path)]
    for path in files:
        keep_apart({'--work-dir': work_dir / path.stem}, [*files, *bases, *data_files(coco=coco)])
    check_folder(work_dir, '--work-dir')
    for config, seed in runs:
        _claim(_folder(work_dir, config, seed), config, coco=coco, cfg_options=cfg_options)
    for config, seed in runs:
        if (metrics := _folder(work_dir, config, seed) / METRICS_FILE).is_file():
            _metrics(metrics)  # a damaged one is said before anything is trained
    with ThreadPoolExecutor(max(1, jobs)) as pool, tqdm(total=len(runs), desc='runs') as bar:

        def metrics_of(config: Path, seed: int) -> dict[str, float]:
            out = _folder(work_dir, config, seed)
            metrics = _finished_run(config, seed, out, coco=coco, cfg_options=cfg_options, jobs=jobs)
            bar.update()
            return metrics

        try:
            results = list(pool.map(metrics_of, *zip(*runs, strict=True)))
        except KeyboardInterrupt as error:  # or another signal, which does not reach the processes of the runs
            for process in _running:
                process.terminate()
            set_note(error, 'the same command goes on')
            raise
    return {path.stem: results[i * len(seeds) :][: len(seeds)] for i, path in enumerate(files)}


def _folder(work_dir: Path, config: Path, seed: int) -> Path:
    return work_dir / config.stem / f'seed-{seed}'


def _claim(out: Path, config: Path, *, coco: str | Path, cfg_options: Sequence[str]) -> None:
    """Note in a run's folder what it is a run of; refuse one that is noted to be of something else."""
    content = hashlib.sha256(config.read_bytes()).hexdigest()
    run = {'coco': os.path.realpath(coco), 'cfg_options': list(cfg_options), 'config': content}
    note = out / 'run.json'
    held = note.is_file() and (noted(out) is not None or (out / METRICS_FILE).is_file())
    other = [key for key, value in _note(note).items() if run.get(key) != value] if held else []
    if other:
        raise InputError(f'{out} holds a run of other {" and ".join(other)}; name another --work-dir')
    write_json(run, note)


def _note(path: Path) -> dict[str, Any]:
    """What a run is of, as `_claim` has noted it."""
    with suppress(ValueError):
        if isinstance(run := read_json(path), dict):
            return run
    raise InputError(f'{path} does not say what its folder holds a run of; name another --work-dir')


def _metrics(path: Path) -> dict[str, float]:
    """The test metrics of a finished run."""
    with suppress(ValueError):
        metrics = read_json(path)
        if isinstance(metrics, dict) and all(is_finite(metrics.get(key, 0.0)) for key in METRICS.values()):
            return metrics
    raise InputError(f'{path} holds no metrics of a test; delete it, and the run is tested again')


def _finished_run(
    config: Path, seed: int, out: Path, *, coco: str | Path, cfg_options: Sequence[str], jobs: int
) -> dict[str, float]:
    """The test metrics of one run, which is made, or gone on with, if it is not finished."""
    metrics = out / METRICS_FILE
    if not metrics.is_file():
        common = ['--coco', str(coco)]
        options = ['--cfg-options', *cfg_options] if cfg_options else []
        train = ['train', str(config), *common, '--work-dir', str(out), '--seed', str(seed), '--resume', *options]
        call(train, out / 'train.txt', jobs)
        test = ['test', str(out / config.name), str(noted(out)), *common, '--work-dir', str(metrics.parent)]
        call(test, out / 'test.txt', jobs)
    return _metrics(metrics)


def call(command: Sequence[str], log: Path, jobs: int) -> None:
    """Run a command of this installation of mmagg in a process of its own, on one of `jobs` shares of the cores.

    Where OMP_NUM_THREADS is set, that is how many threads it has.

    Args:
        command: its name and its arguments.
        log: the file for its output.
        jobs: processes that share the cores.

    Raises:
        InputError: it failed; the message has the last line of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get('PYTHONPATH')])])
    environment = {'OMP_NUM_THREADS': str(threads)} | os.environ | {'PYTHONPATH': path}
    words = [sys.executable, '-m', PACKAGE.name, *command]
    with log.open('w') as file, subprocess.Popen(words, stdout=file, stderr=file, env=environment) as process:
        _running.append(process)
        process.wait()
        _running.remove(process)
    if process.returncode:
        last = (log.read_text(errors='replace').strip().splitlines() or ['no output'])[-1]
        raise InputError(f'{command[0]}.py {command[1]} failed: {last} (all of it: {log})')


def table(by_config: dict[str, list[dict[str, float]]]) -> str:
    """Markdown, a row per config: mean ± standard deviation over the runs, in per cent."""
    lines = [f'| config | runs | {" | ".join(METRICS)} |', '|---' * (len(METRICS) + 2) + '|']
    for name, runs in by_config.items():
        measured = set().union(*runs) or METRICS.values()  # a model that found nothing has no metrics
        columns = [[100 * run.get(key, 0.0 if key in measured else -1) for run in runs] for key in METRICS.values()]
        # COCO's -1 says that there is nothing to find, in all runs alike; here also that it is not measured, as of a
        # model without masks.
        cells = [NONE if min(x) < 0 else f'{mean(x):.1f} ± {stdev(x) if len(x) > 1 else 0:.1f}' for x in columns]
        lines.append(f'| {name} | {len(runs)} | {" | ".join(cells)} |')
    return '\n'.join(lines)
