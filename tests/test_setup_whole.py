"""`make setup` as it is typed, in a folder with a space: interrupted, gone on with, moved, and in another clone."""

import os
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ('.ci', 'configs', 'mmagg', 'tools', 'Makefile', 'README.md', 'constraints.txt', 'model-index.yml')

pytestmark = pytest.mark.slow


def copied(folder: Path) -> Path:
    """A clone to set up."""
    for name in (*NEEDED, 'pyproject.toml', 'requirements.txt', 'setup.cfg'):
        path, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(path, target)
    return folder


def make_setup(clone: Path, wheels: Path, interrupt_at: str | None = None) -> tuple[int, str]:
    """Exit code and lines; interrupted as at a terminal when a line of the log has some text."""
    environment = {**os.environ, 'MMAGG_WHEELS': str(wheels)}
    environment.pop('SYSTEM_PYTHON', None)
    make = subprocess.Popen(
        ['make', 'setup'],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    log = clone / '.venv/setup.log'
    while interrupt_at is not None and make.poll() is None:
        if log.exists() and interrupt_at in log.read_text():
            os.killpg(make.pid, signal.SIGINT)
            break
    printed, _ = make.communicate()
    if 'the package index cannot be reached' in printed:
        pytest.skip('needs the package index')
    return make.returncode, printed


def called(*words: object) -> str:
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


def test_a_clone_is_set_up(tmp_path: Path) -> None:
    clone, wheels = copied(tmp_path / 'a b' / 'mmagg'), tmp_path / 'wheels'
    for text in ('Installing collected packages', '[3/78]'):
        code, printed = make_setup(clone, wheels, interrupt_at=text)
        assert code != 0
        assert 'interrupted; the next `make` goes on' in printed
        assert not wheels.exists()

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, printed = make_setup(clone, wheels)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert code == 0, printed
    assert re.search(r'compiled \[78/78\]', printed)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 480
    assert make_setup(clone, wheels) == (0, '.venv/bin/python is used\n')

    moved = clone.rename(tmp_path / 'moved')
    code, printed = make_setup(moved, wheels)
    assert code == 0, printed
    assert '.venv was moved, from ' in printed
    assert 'compil' not in printed.replace('what compiles mmcv', '')
    called(moved / '.venv/bin/pytest', '--version')
    called(moved / '.venv/bin/mmagg', '--help')
    code = 'import mmagg, mmcv.ops; print(mmagg.__file__)'
    assert called(moved / '.venv/bin/python', '-I', '-c', code) == f'{moved}/mmagg/__init__.py\n'

    code, printed = make_setup(copied(tmp_path / 'second'), wheels)
    assert code == 0, printed
    assert f'from {wheels}' in printed
