"""`make setup`: .venv is made, gone on with, moved and mended, and nothing is done where nothing is wrong.

Environments are real ones; of the commands, those that take long are stood in for.
"""

import ast
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import environment
import pytest
import steps
from environment import Environment
from mending import main
from steps import CommandError, Steps, Stopped

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = 'print(7)\n'
PINS = 'torch==2.13.0\nnumpy==2.2.6\nonedl-mmcv==2.3.6\ntriton==3.7.1; platform_system == "Linux"\n'
# As pip writes it.
LONG = "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the set-up reads, whose path has a space."""
    folder = tmp_path / 'a b' / 'mmagg'
    shutil.copytree(ROOT / '.ci/setup', folder / '.ci/setup', ignore=shutil.ignore_patterns('__pycache__'))
    for name, content in (('requirements.txt', PINS), ('constraints.txt', ''), ('setup.cfg', '')):
        (folder / name).write_text(content)
    shutil.copy(ROOT / 'Makefile', folder)
    monkeypatch.delenv('SYSTEM_PYTHON', raising=False)
    monkeypatch.setenv('MMAGG_WHEELS', str(tmp_path / 'wheels'))
    return folder


class Commands:
    """Stands in for pip and the probe; notes the commands, and breaks off at one that has some text."""

    def __init__(self) -> None:
        self.run: list[str] = []
        self.breaks_at: str | None = None
        self.error: BaseException = CommandError('pip failed', '')

    def __call__(self, steps: Steps, *command: object, each: object = None, **variables: str) -> str:
        words = [str(word) for word in command]
        text = ' '.join(words)
        folder = Path(words[0]).parents[1]
        if '-m venv' in text:
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout
        if text.endswith('-m pip --version'):
            if not (folder / 'pip').exists():
                raise CommandError('there is no pip', '')
            return ''
        self.run.append(text)
        if self.breaks_at is not None and self.breaks_at in text:
            raise self.error
        if 'ensurepip' in text:
            (folder / 'pip').touch()
        if 'probe.py' in text:
            target = dict(torch='2.13.0+cpu', python='cpython-311', platform='linux', gpu=None, archs='')
            return json.dumps(
                dict(target=target, nvcc=None, hip=False, include='', loads=True, version='2.3.6', source='')
            )
        return ''


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    stand_in = Commands()
    monkeypatch.setattr(Steps, 'run', lambda self, *words, **others: stand_in(self, *words, **others))
    monkeypatch.setattr('mmcv_wheel.require_compiler', lambda include: None)
    return stand_in


@pytest.fixture
def setup(clone: Path, commands: Commands, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs the set-up of a clone; gives the lines it printed."""

    def run(root: Path = clone, code: int = 0) -> list[str]:
        commands.run.clear()
        assert main(str(root)) == code
        return ''.join(capsys.readouterr()).splitlines()

    return run


def script(folder: Path) -> Path:
    """A command as pip installs it, which runs with the environment's Python."""
    path = folder / '.venv/bin/seven'
    path.write_text(LONG.format(python=folder / '.venv/bin/python') + SCRIPT)
    path.chmod(0o755)
    return path


def works(path: Path) -> bool:
    done = subprocess.run([path], capture_output=True, text=True)
    return (done.returncode, done.stdout) == (0, '7\n')


def site(folder: Path) -> Path:
    found = Environment(folder).site()
    assert found is not None
    return found


def test_it_is_made_once(clone: Path, setup: Callable[..., list[str]], commands: Commands) -> None:
    first, *lines = setup()
    assert first == 'making .venv'
    assert [line.partition(']')[0] for line in lines[::2]] == [f'[{number}/5' for number in range(1, 6)]
    assert any('--editable' in command for command in commands.run)
    assert script(clone).exists()
    assert works(clone / '.venv/bin/seven')
    assert setup() == commands.run == []


@pytest.mark.parametrize('at', ['ensurepip', 'torch==', 'probe.py', '-r ', '--editable'])
@pytest.mark.parametrize('error', [CommandError('', 'ERROR: No matching\n'), Stopped(signal.SIGTERM)])
def test_what_was_interrupted_is_gone_on_with(
    at: str, error: BaseException, setup: Callable[..., list[str]], commands: Commands
) -> None:
    commands.breaks_at, commands.error = at, error
    *_, last = setup(code=143 if isinstance(error, Stopped) else 2)
    assert last.startswith('make setup: ')
    commands.breaks_at = None
    assert setup()[0] == '.venv was not finished: going on'
    assert setup() == []


def test_a_moved_clone_is_mended_in_place(
    clone: Path, tmp_path: Path, setup: Callable[..., list[str]], commands: Commands
) -> None:
    setup()
    script(clone)
    (site(clone) / 'package.py').touch()
    moved = tmp_path / 'plain'
    clone.rename(moved)
    assert not works(moved / '.venv/bin/seven')
    assert setup(moved)[0] == f'.venv was moved, from {clone}/.venv'
    assert works(moved / '.venv/bin/seven')
    assert (moved / '.venv/bin/seven').read_text() == f'#!{moved}/.venv/bin/python\n{SCRIPT}'
    assert str(moved) in (moved / '.venv/bin/activate').read_text()
    assert (site(moved) / 'package.py').exists()
    assert setup(moved) == []


def test_a_python_of_the_same_version_takes_over(clone: Path, setup: Callable[..., list[str]]) -> None:
    setup()
    (site(clone) / 'package.py').touch()
    for name in ('python', 'python3'):
        path = clone / '.venv/bin' / name
        path.unlink()
        path.symlink_to('/nowhere/python')
    assert setup()[0] == f'.venv: its Python is gone ({clone}/.venv/bin/python does not run)'
    assert (site(clone) / 'package.py').exists()
    assert setup() == []


@pytest.mark.parametrize('gone', [True, False])
def test_packages_of_another_python_are_replaced(gone: bool, clone: Path, setup: Callable[..., list[str]]) -> None:
    setup()
    (site(clone) / 'package.py').touch()
    (clone / '.venv/lib' / f'python3.{sys.version_info[1]}').rename(clone / '.venv/lib/python3.9')
    ready = clone / '.venv/ready'
    ready.write_text(json.dumps({**json.loads(ready.read_text()), 'python': [3, 9]}))
    if gone:
        (clone / '.venv/bin/python').unlink()
    assert 'Python' in setup()[0]
    assert not (site(clone) / 'package.py').exists()
    assert site(clone).parent.name == f'python3.{sys.version_info[1]}'
    assert setup() == []


def test_another_version_can_be_asked_for(
    clone: Path, setup: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup()
    monkeypatch.setenv('SYSTEM_PYTHON', 'python')
    assert setup() == []
    monkeypatch.setattr(sys, 'version_info', (3, 9, 0))
    (line,) = setup(code=2)
    assert 'needs Python 3.11 to 3.13' in line
    monkeypatch.delenv('SYSTEM_PYTHON')
    assert setup() == [], 'any other may run the check'


@pytest.mark.parametrize('name', environment.FILES)
def test_changed_files_are_named(name: str, clone: Path, setup: Callable[..., list[str]], commands: Commands) -> None:
    setup()
    with open(clone / name, 'a') as file:
        file.write('# changed\n')
    assert setup()[0] == f'.venv: changed since it was made: {name}'
    assert any('-r ' in command for command in commands.run)
    os.utime(clone / name)
    assert setup() == [], 'times of files decide nothing'


def test_a_link_to_another_environment_is_left_alone(
    clone: Path, tmp_path: Path, setup: Callable[..., list[str]], commands: Commands
) -> None:
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'mine'], check=True)
    (clone / '.venv').symlink_to(tmp_path / 'mine')
    before = sorted(tmp_path.glob('mine/**/*'))
    assert setup() == commands.run == []
    assert sorted(tmp_path.glob('mine/**/*')) == before
    shutil.rmtree(tmp_path / 'mine')
    (line,) = setup(code=2)
    assert 'is a link' in line
    assert (clone / '.venv').is_symlink()


def test_what_make_did_not_make_is_left_alone(clone: Path, setup: Callable[..., list[str]], commands: Commands) -> None:
    (clone / '.venv').mkdir()
    (clone / '.venv/mine').touch()
    (line,) = setup(code=2)
    assert 'was not made by `make`' in line
    assert [path.name for path in (clone / '.venv').iterdir()] == ['mine']
    assert commands.run == []
    (clone / '.venv/ready').touch()  # what an earlier `make` left
    setup()


def test_packages_that_are_not_whole_are_installed_again(clone: Path, setup: Callable[..., list[str]]) -> None:
    setup()
    for name, files in (('whole', ('INSTALLER', 'RECORD')), ('half', ('METADATA', 'RECORD'))):
        folder = site(clone) / f'{name}-1.dist-info'
        folder.mkdir()
        for file in files:
            (folder / file).touch()
    for name in ('there', 'gone'):
        (site(clone) / f'{name}.py').touch()
        record = f'{name}.py,sha256=x,0\n../../../bin/{name},sha256=x,0\n__pycache__/{name}.pyc,,\n'
        (clone / '.venv/bin' / name).touch()
        folder = site(clone) / f'{name}-1.dist-info'
        folder.mkdir()
        (folder / 'INSTALLER').touch()
        (folder / 'RECORD').write_text(record)
    (clone / '.venv/bin/gone').unlink()
    (site(clone) / 'pip').mkdir()
    (site(clone) / '~alf').mkdir()
    (clone / '.venv/ready').unlink()
    setup()
    assert {path.name for path in site(clone).glob('*[!y]')} == {'whole-1.dist-info', 'there-1.dist-info'}


@pytest.mark.parametrize('module', ['venv', 'ensurepip'])
def test_a_python_without_environments_is_refused(
    module: str, clone: Path, setup: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (line,) = setup(code=2)
    assert f'without its module `{module}`' in line
    assert not (clone / '.venv').exists()


@pytest.mark.parametrize('version', [(3, 10, 4), (3, 14, 0)])
def test_other_versions_of_python_are_refused(
    version: tuple[int, int, int], clone: Path, setup: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'version_info', version)
    (line,) = setup(code=2)
    assert f'is Python 3.{version[1]}: pass SYSTEM_PYTHON=' in line
    assert not (clone / '.venv').exists()


def test_without_a_package_index_one_line_says_so(setup: Callable[..., list[str]], commands: Commands) -> None:
    commands.breaks_at = 'torch=='
    commands.error = CommandError('', 'WARNING: Retrying after NameResolutionError\nERROR: No matching distribution\n')
    *_, line = setup(code=2)
    assert line == (
        'make setup: torch==2.13.0, numpy==2.2.6 could not be installed: the package index cannot be reached; all that '
        'pip said is in .venv/setup.log, and the next `make` goes on from here'
    )


@pytest.fixture
def logged(tmp_path: Path) -> Steps:
    return Steps(tmp_path / 'setup.log', total=2)


def test_a_command_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """Each of them holds the lock, until then."""

    def stop(line: str) -> None:
        raise Stopped(signal.SIGTERM)

    file = tmp_path / 'lock'
    file.touch()
    with steps.alone(file, tmp_path / 'setup.log') as held:
        logged = Steps(tmp_path / 'setup.log', total=1, held=held)
        with pytest.raises(Stopped):
            logged.run('bash', '-c', 'sleep 60 & echo begun; wait', each=stop)
    with open(file) as other:
        for _ in range(100):  # what was killed takes a moment to be gone
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.05)
    pytest.fail('what the command has started goes on')


def test_a_failed_command_is_logged(logged: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError) as caught, logged.step('this'):
        logged.run('bash', '-c', 'echo because; exit 3')
    assert caught.value.output == 'because\n'
    assert logged.log.read_text().endswith('$ bash -c echo because; exit 3\nbecause\n')
    assert capsys.readouterr().out.splitlines()[0] == '[1/2] this ...'


def test_a_second_one_waits_and_says_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, log, order = tmp_path / 'lock', tmp_path / '.venv/setup.log', []
    file.touch()
    log.parent.mkdir()

    def second() -> None:
        with steps.alone(file, log):
            order.append('second')

    with steps.alone(file, log) as held, Steps(log, total=5, held=held).step('torch'):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append('first')
    thread.join()
    assert order == ['first', 'second']
    assert f'waiting for another `make`, which sets up {log.parent}: [1/5] torch' in capsys.readouterr().out


def make(clone: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # `make test` hands its own state to what it starts, and a make below another one says where it is.
    own = {name: value for name, value in os.environ.items() if name not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    return subprocess.run(['make', *words], cwd=clone, env=own | variables, capture_output=True, text=True)


def test_make_sets_up_nothing_for_an_environment_of_ones_own(clone: Path) -> None:
    done = make(clone, 'setup', f'PYTHON={sys.executable}')
    assert (done.returncode, done.stdout) == (0, f'{sys.executable} is used as it is\n')
    assert not (clone / '.venv').exists()
    assert make(clone, 'help').returncode == 0


def test_python_of_ones_own_may_have_a_space_in_its_path(clone: Path, tmp_path: Path) -> None:
    python = tmp_path / 'a b' / 'python'
    python.symlink_to(sys.executable)
    (clone / 'tools').mkdir()
    (clone / 'tools/doctor.py').write_text('print("well")')
    assert make(clone, 'doctor', f'PYTHON={python}').stdout.endswith('\nwell\n')


@pytest.mark.parametrize('target', ['setup', 'lint', 'docs'])
def test_make_says_that_there_is_no_python_of_ones_own(target: str, clone: Path) -> None:
    done = make(clone, target, 'PYTHON=no/python')
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.splitlines()[0] == 'make: there is no Python at PYTHON=no/python'


def test_make_installs_what_builds_the_documentation_in_its_own_environment_alone(clone: Path) -> None:
    assert 'pip install --quiet --requirement docs/site' in make(clone, '-n', 'docs').stdout
    assert 'pip install' not in make(clone, '-n', 'docs', f'PYTHON={sys.executable}').stdout


def test_make_says_that_there_is_no_python(clone: Path) -> None:
    done = make(clone, 'setup', 'SYSTEM_PYTHON=/no/python')
    assert done.returncode == 2
    assert 'there is no /no/python: install Python 3.11 to 3.13, or pass SYSTEM_PYTHON=' in done.stderr


@pytest.mark.parametrize('path', sorted((ROOT / '.ci/setup').glob('*.py')), ids=lambda path: path.name)
def test_an_old_python_can_read_it(path: Path) -> None:
    """The check of a finished environment may be run by one, and one that is too old says so."""
    if path.name == '__main__.py':
        ast.parse(path.read_text(), feature_version=(3, 3))
    elif path.name != 'probe.py':  # which the environment's own Python runs
        assert 'from __future__ import annotations' in path.read_text()
        ast.parse(path.read_text(), feature_version=(3, 8))
