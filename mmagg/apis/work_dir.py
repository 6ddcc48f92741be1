"""The work dir of a training: whether it is free, what it goes on from, and how a refused training leaves it."""

import ast
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from mmagg.io.errors import EXPECTED, FULL, InputError, set_note
from mmagg.io.files import require_file
from mmagg.io.paths import keep_apart
from mmagg.io.run_folder import all_checkpoints, checkpoints, newest_whole, noted

LOG_FOLDER = re.compile(r'\d{8}_\d{6}')  # mmengine's, by the time of the start


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The last whole checkpoint of the training in ``work_dir``, also if the folder has been moved; None without one.

    Raises:
        InputError: there are checkpoints, but none is whole, or they are gone.
    """
    return newest_whole(Path(work_dir))[0]


def starting_point(
    work_dir: Path, *, resume: bool | str | Path, overwrite: bool, main: bool, out_dir: str | None = None
) -> str | Path | None:
    """The checkpoint that a training in ``work_dir`` goes on from, or None if it starts from the beginning.

    A broken checkpoint that is skipped is named on stderr.

    Args:
        work_dir: need not exist.
        resume: a checkpoint; True for the last one in the work dir, if there is one.
        overwrite: the run in the work dir may be replaced.
        main: this is the main process, which looks and speaks for the others.
        out_dir: CheckpointHook's, where checkpoints go into a folder of the work dir's name.

    Raises:
        InputError: there is no such checkpoint; the folder holds a run that would be overwritten; the options
            contradict each other; no checkpoint is whole.
    """
    if resume and resume is not True and '://' not in str(resume):
        require_file(Path(resume).expanduser(), 'checkpoint')
    if main:
        elsewhere = (
            None if out_dir is None or '://' in out_dir else Path(out_dir) / Path(os.path.abspath(work_dir)).name
        )
        _check(work_dir, resume, overwrite, elsewhere)
    if resume is not True:
        return resume or None
    source, skipped = newest_whole(work_dir)
    for what in (skipped or []) if main else ():
        tqdm.write(f'--resume: {what}, going on from {source}', file=sys.stderr)
    if source is None and main:
        tqdm.write(f'--resume: no checkpoint in {work_dir} yet, starting from the beginning')
    return source


@contextmanager
def what_is_left(work_dir: Path) -> Iterator[None]:
    """Note in an interruption, or what came of it in a worker, what the work dir has to go on with."""
    try:
        yield
    except (KeyboardInterrupt, RuntimeError) as error:
        last = noted(work_dir)
        if last is None:
            set_note(error, 'nothing was saved yet')
        elif last.is_file():  # and not in a storage
            set_note(error, f'{last} is whole: --resume goes on')
        raise


def _check(work_dir: Path, resume: bool | str | Path, overwrite: bool, elsewhere: Path | None) -> None:
    held = checkpoints(work_dir)
    others = [] if held or elsewhere is None else checkpoints(elsewhere)
    if others and not overwrite:
        raise InputError(
            f'CheckpointHook.out_dir: {elsewhere} holds a run ({others[0].name}) of another work dir; --overwrite '
            'replaces it, --work-dir with another last name goes elsewhere'
        )
    folders = {os.path.realpath(folder) for folder in (work_dir, *(path.parent for path in held))}
    own = resume is True or bool(resume and os.path.realpath(Path(resume).parent) in folders)
    if own and overwrite:
        raise InputError(
            f'--resume and --overwrite: one goes on with the run in {work_dir}, the other replaces it; leave out one'
        )
    if held and not own and not overwrite:
        other = '--resume without a checkpoint' if resume else '--resume'
        raise InputError(
            f'work dir {work_dir} holds a run ({held[0].name}); {other} goes on with it, --overwrite replaces it, '
            '--work-dir names another'
        )


def keep_inputs(work_dir: Path, config: str | Path, *, data: Iterable[Path], weights: Iterable[str]) -> None:
    """Refuse a work dir that holds what the training reads, where that would be overwritten or deleted.

    A config there that a training wrote may be replaced: `--resume` goes on with it.

    Args:
        work_dir: need not exist.
        config: the file that the training gets its config from, which is saved under the same name.
        data: annotation files and image folders.
        weights: checkpoints that the training starts from; none unless the run in the work dir is going to be replaced.

    Raises:
        InputError: names the file and the folder.
    """
    keep_apart({'--work-dir': work_dir}, data)
    own = work_dir / Path(config).name
    if own.is_file() and not _is_saved_config(own):
        raise InputError(
            f'--work-dir {work_dir}: holds {own.name}, a config that no training wrote, which would be overwritten; '
            'name another place'
        )
    doomed = {os.path.realpath(path) for path in all_checkpoints(work_dir)}
    for source in weights:
        if os.path.realpath(source) in doomed:
            raise InputError(
                f'--overwrite: deletes {source}, which the training starts from; --work-dir names another place'
            )


def _is_saved_config(path: Path) -> bool:
    """True for a file as mmengine saves configs: values of names and nothing else, not even a comment."""
    try:
        text = path.read_text(encoding='utf-8')
        body = ast.parse(text).body
    except (OSError, ValueError, SyntaxError):
        return False
    assigned = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    names = [target.id for target in assigned if isinstance(target, ast.Name)]
    return len(names) == len(body) and '_base_' not in names and not re.search(r'^\s*#', text, re.MULTILINE)


@contextmanager
def left_alone(work_dir: Path, *, started: Callable[[], bool], main: bool) -> Iterator[None]:
    """Take back the new log folder if the block is refused or interrupted before the start.

    An error of a full disk gets the folder's name.

    Args:
        work_dir: is there in the main process.
        started: tells whether training has begun.
        main: this is the main process, which writes.
    """
    before = set(work_dir.iterdir()) if main else set()
    try:
        yield
    except (*EXPECTED, KeyboardInterrupt) as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:  # writes do not say where
            error.filename = str(work_dir)
        if main and not started():
            for path in set(work_dir.iterdir()) - before:
                if LOG_FOLDER.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)
        raise
