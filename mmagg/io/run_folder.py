"""The files that a training leaves in its work dir: checkpoints, and the note that names the last one."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmagg.io.errors import InputError
from mmagg.io.files import written_whole

NOTE = 'last_checkpoint'  # mmengine's
REPLACED = '(replaced)'  # in the note: what else is left of the run is to be deleted
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
BEST = re.compile(r'best_.+_(?:epoch|iter)_\d+\.pth')
CURVES = ('curves.png', 'curves.csv')
RECORDS = '*/vis_data/scalars.json'  # mmengine's
SHEETS = 'validation'  # a folder of pictures


def checkpoints(work_dir: Path) -> list[Path]:
    """The checkpoints of the run in ``work_dir``: the one that its note names, the others from the newest, the best.

    They may be elsewhere, where the note names one: the config's CheckpointHook may have an ``out_dir``. Of a run that
    is being replaced there are none.
    """
    return [] if being_replaced(work_dir) else all_checkpoints(work_dir)


def all_checkpoints(work_dir: Path) -> list[Path]:
    """As `checkpoints`, also of a run that is being replaced."""
    named = noted(work_dir)
    first = [named] if named is not None and named.is_file() else []
    numbers: dict[Path, int] = {}
    best: list[Path] = []
    for folder in (work_dir, *(path.parent for path in first)):
        numbers |= {path: int(found[1]) for path, found in _matching(folder, NUMBERED)}
        best += (path for path, _ in _matching(folder, BEST))
    return list(dict.fromkeys([*first, *sorted(numbers, key=numbers.__getitem__, reverse=True), *sorted(best)]))


def noted(work_dir: Path) -> Path | None:
    """The checkpoint that the note names, in ``work_dir`` itself if the folder has been moved; None without a note."""
    named = _note(work_dir)
    own = work_dir / Path(named).name
    return None if named in ('', REPLACED) else own if own.is_file() else Path(named)


def being_replaced(work_dir: Path) -> bool:
    """True if `remove_run` was killed: the run is not to be gone on with, and is to be deleted before the next one."""
    return _note(work_dir) == REPLACED


def _note(work_dir: Path) -> str:
    try:
        text = (work_dir / NOTE).read_text(encoding='utf-8').strip()
    except (OSError, UnicodeDecodeError):
        return ''
    return '' if '\0' in text else text  # no path has one, and Python 3.13 looks for files in none


def newest_whole(work_dir: Path) -> tuple[Path | None, list[str]]:
    """The last checkpoint of the run in ``work_dir`` that is whole, and why others, which should be newer, are not.

    It is the one that the note names, else the one with the highest number. (None, []) if there was no run.

    Raises:
        InputError: there was a run, but none of its checkpoints is whole, or there are best ones alone.
    """
    named = noted(work_dir)
    held = checkpoints(work_dir)
    candidates = [path for path in held if not BEST.fullmatch(path.name)]
    missing = [] if named is None or named in candidates else [f'{work_dir / NOTE} names {named}, which is not there']
    skipped: list[str] = []
    for path in candidates:
        if (fault := _fault(path)) is None:
            return path, missing + skipped
        skipped.append(f'{path} is {fault}')
    if missing or skipped:
        raise InputError(
            f'--resume: {"; ".join(missing + skipped)}; pass --resume CKPT, or --overwrite to start from the beginning'
        )
    if held:
        best = max(held, key=lambda path: path.stat().st_mtime)
        raise InputError(
            f'--resume: {work_dir} holds {best.name} alone, which has weights and nothing to go on from; --overwrite '
            f'starts from the beginning, another --work-dir and --cfg-options load_from={best} from these weights'
        )
    return None, []


def remove_run(work_dir: Path) -> None:
    """Delete the checkpoints of the run in ``work_dir``, its note, curves and their records, pictures; its log stays.

    Nothing outside of the folder is deleted. A kill meanwhile leaves all of the run, or nothing to go on with.
    """
    own = [path for path in all_checkpoints(work_dir) if path.parent == work_dir]
    with written_whole(work_dir / NOTE) as temporary:
        temporary.write_text(REPLACED, encoding='utf-8')
    pictures = (path for kind in ('epoch', 'iter') for path in (work_dir / SHEETS).glob(f'{kind}_*.jpg'))
    curves = (work_dir / name for name in CURVES)
    for path in (*own, *pictures, *curves, *work_dir.glob(RECORDS), work_dir / NOTE):
        path.unlink(missing_ok=True)


def _matching(folder: Path, pattern: re.Pattern) -> Iterator[tuple[Path, re.Match]]:
    """The files in a folder, which may be missing, whose names match."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if (found := pattern.fullmatch(path.name)) and path.is_file():
            yield path, found


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, a zip file with checksums; None if nothing is."""
    try:
        with zipfile.ZipFile(path) as archive:
            return None if archive.testzip() is None else 'damaged'
    except zipfile.BadZipFile:
        return 'not whole'
    except OSError as error:
        return f'unreadable ({error.strerror})'
