"""Runs cases and says which of them are faults."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fuzz.cases import Case, prepare
from fuzz.isolation import Outcome, run_all
from fuzz.material import Material
from fuzz.verdict import bare, faults

HANG = 10.0  # seconds


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        name: of the case.
        case: itself.
        outcome: of its command.
        faults: empty if it ended as it should.
        bare: the line of an error that nobody foresaw, where that is no fault.
        folder: its inputs and outputs, if they are kept.
    """

    name: object
    case: Case
    outcome: Outcome
    faults: list[str]
    bare: str | None
    folder: Path


def load() -> None:
    """Import what commands import, so that no case has to."""
    import importlib
    import pkgutil

    import mmagg

    for module in pkgutil.walk_packages(mmagg.__path__, 'mmagg.'):
        if not module.name.endswith('__main__') and 'triton' not in module.name:
            importlib.import_module(module.name)
    import mmdet.models  # noqa: F401
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    cache_dir()  # which PyTorch makes where an optimiser is built, among others


def run_cases(
    cases: Iterable[tuple[object, Case]], material: Material, *, jobs: int = 1, keep: bool = False, limit: float = HANG
) -> Iterator[Result]:
    """Run named cases; yields their results as they end.

    One that takes too long is run again alone at the end, since the machine may have been busy.

    Args:
        cases: each with its name.
        material: the sound inputs.
        jobs: cases at a time.
        keep: keep the folders of faults.
        limit: seconds that a case may take.
    """
    place = Path(tempfile.mkdtemp(prefix='fuzz-'))
    late = []
    try:
        for again in (False, True):
            todo = late if again else cases
            for result in _run(
                todo, material, place, jobs=1 if again else jobs, limit=limit, prefix='again' if again else 'case'
            ):
                if not again and result.outcome.code is None:
                    late.append((result.name, result.case))
                    shutil.rmtree(result.folder)
                    continue
                if not (keep and result.faults):
                    shutil.rmtree(result.folder)
                yield result
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _run(
    cases: Iterable[tuple[object, Case]], material: Material, place: Path, *, jobs: int, limit: float, prefix: str
) -> Iterator[Result]:
    folders = {}

    def calls() -> Iterator[tuple]:
        for number, (name, case) in enumerate(cases):
            folder = place / f'{prefix}{number}'
            folder.mkdir()
            key = (name, case, folder)
            folders[folder] = key
            yield folder, partial(_prepared, case, material, folder), [folder / 'out', folder / 'tmp']

    for folder, outcome in run_all(calls(), jobs=jobs, limit=limit):
        name, case, _ = folders.pop(folder)
        found = faults(
            outcome,
            command=case.command,
            strict=case.strict,
            inputs_changed=_changed(folder),
            left_over=_left_over(folder) if outcome.code is not None and outcome.code >= 0 else [],
        )
        if case.code not in (None, outcome.code):
            found.append(f'exit code {outcome.code} instead of {case.code}')
        yield Result(name, case, outcome, found, None if case.strict else bare(outcome), folder)


def _prepared(case: Case, material: Material, folder: Path) -> Callable[[], int]:
    """Prepare a case in this process; returns what runs its command."""
    from mmagg.cli.main import COMMANDS, run

    name, *arguments = prepare(case, material, folder)
    (folder / 'before').write_text(_listing(folder / 'in'), errors='surrogateescape')
    tempfile.tempdir = os.environ['TMPDIR'] = str(folder / 'tmp')
    os.chdir(folder / 'here')
    sys.argv = [f'mmagg {name}', *arguments]

    return lambda: run(COMMANDS[name], arguments, prog=f'mmagg {name}')


def _listing(folder: Path) -> str:
    """Every file below a folder with its size and the time when it was written."""
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return '\n'.join(f'{path.stat().st_size} {path.stat().st_mtime_ns} {path!r}' for path in files)


def _changed(folder: Path) -> list[str]:
    """Inputs that are not as they were, and what lies where nothing may be written."""
    try:
        before, after = (folder / 'before').read_text().split('\n'), _listing(folder / 'in').split('\n')
    except OSError:
        return []  # it was not even prepared
    strange = [path.name for path in folder.iterdir() if path.name not in ('in', 'out', 'tmp', 'here', 'before')]
    strange += [str(path) for path in (folder / 'here').iterdir()]
    return sorted({*before} ^ {*after}) + strange


def _left_over(folder: Path) -> list[str]:
    """Temporary files, by the names that `mmagg.io.files.written_whole` gives them."""
    hidden = (str(path.relative_to(folder)) for path in (folder / 'out').rglob('.*') if path.is_file())
    return [name for name in hidden if re.search(r'-[a-z0-9_]{8}(\.\w+)?$', name)][:3]
