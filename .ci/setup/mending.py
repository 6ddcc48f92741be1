"""Makes .venv with the tested stack (requirements.txt), or mends it; `make` runs this before all that needs it.

    python .ci/setup

Each step finds what an earlier run has done, so that the next `make` goes on where one was interrupted. Only the
standard library is used, and nothing that Python 3.8 does not know: another Python than that of .venv may run it.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path

import mmcv_wheel
from environment import Environment, require_python
from steps import CommandError, SetupError, Steps, Stopped, alone, signals

# What mmcv's build needs beside torch: without ninja it compiles one file after the other.
TOOLS = ('setuptools', 'wheel', 'ninja', 'psutil', 'cython')
NO_INDEX = re.compile(
    r'NewConnectionError|ConnectTimeout|NameResolutionError|Max retries|Connection broken|ReadTimeout'
)


def main(folder: str) -> int:
    """Set up the clone in a folder. The exit code: 0, 2 for what cannot work, 128 + the signal's number."""
    environment = Environment(Path(folder).resolve())
    # Of make's command line or the user's environment; make's own default is not handed on.
    asked = sys.version_info[:2] if os.environ.get('SYSTEM_PYTHON') else None
    try:
        if environment.folder.is_symlink():
            if environment.facts() is None:
                target = os.path.realpath(environment.folder)
                raise SetupError(f'.venv is a link, and no Python runs at {target}: mend that, or remove the link')
            return 0  # an environment of the user's own
        if environment.wrong(asked) is None:
            return 0
        with signals(), alone(environment.root / '.ci/setup/mending.py', environment.log) as lock:
            reason = environment.wrong(asked)  # another process may have mended it
            if reason is not None:
                mend(environment, reason, asked, lock)
    except SetupError as error:
        print(f'make setup: {error}', file=sys.stderr)
        return 2
    except Stopped as stopped:
        print('make setup: interrupted; the next `make` goes on', file=sys.stderr)
        return 128 + stopped.number
    return 0


def mend(environment: Environment, reason: str, asked: tuple[int, int] | None, lock: int) -> None:
    """Make the environment, or what is missing of it.

    Raises:
        SetupError: that cannot work here.
    """
    folder = environment.folder
    if folder.exists() and any(folder.iterdir()) and not environment.ours():
        raise SetupError('.venv was not made by `make`: PYTHON=.venv/bin/python uses it as it is; else remove it')
    files, pins = environment.files(), pinned(environment.root / 'requirements.txt')
    base = environment.base(asked)
    if base is None:
        require_python()
        if not any(mmcv_wheel.cache().glob(f'{mmcv_wheel.prefix(pins["onedl-mmcv"])}*')):
            mmcv_wheel.require_compiler(sysconfig.get_path('include'))  # before anything is downloaded
    print(reason, flush=True)
    folder.mkdir(exist_ok=True)
    environment.mark.touch()
    if environment.ready.exists():
        environment.ready.unlink()
    if base is None:
        environment.clear()
    for name in ('PYTHONPATH', 'PYTHONHOME'):  # packages elsewhere are not those of the environment
        os.environ.pop(name, None)
    install(environment, base, pins, Steps(environment.log, total=5, held=lock))
    environment.finish(files)


def install(environment: Environment, base: str | None, pins: dict[str, str], steps: Steps) -> None:
    """All steps; what one finds done costs it seconds."""
    python, root = environment.python, environment.root

    def pip(what: str, *words: object) -> None:
        command = (python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--progress-bar', 'off')
        path = f'{python.parent}{os.pathsep}{os.environ["PATH"]}'
        try:
            steps.run(*command, *words, each=lambda line: show(steps, line), PATH=path, PIP_USER='0')
        except CommandError as error:
            raise SetupError(
                f'{what} could not be installed{why(error.output)}; all that pip said is in .venv/setup.log, '
                'and the next `make` goes on from here'
            ) from None

    with steps.step('environment'):
        if base is None:
            steps.run(sys.executable, '-m', 'venv', '--without-pip', environment.folder)
        else:
            environment.relink(base, steps.run)
            environment.tidy()
        try:
            steps.run(python, '-m', 'pip', '--version')
        except CommandError:
            steps.run(python, '-m', 'ensurepip', '--upgrade', '--default-pip')
            pip('pip', '--upgrade', 'pip')
    constraints, torch = root / 'constraints.txt', (pins['torch'], pins['numpy'])
    with steps.step(f'{torch[0]}, {torch[1]}, and what compiles mmcv'):
        pip(', '.join(torch), '-c', constraints, *TOOLS, *torch)
    with steps.step(pins['onedl-mmcv']):
        mmcv_wheel.install(steps, python, pins['onedl-mmcv'])
    with steps.step('all of requirements.txt'):
        pip('requirements.txt', '--no-build-isolation', '-r', root / 'requirements.txt')
    with steps.step('mmagg itself'):
        pip('mmagg', '--no-build-isolation', '--no-deps', '--editable', root)


def pinned(path: Path) -> dict[str, str]:
    """The requirements of a file by name, without markers."""
    lines = (re.match(r'([\w.-]+)==[^\s;]+', line) for line in path.read_text().splitlines())
    return {found[1]: found[0] for found in lines if found}


def show(steps: Steps, line: str) -> None:
    """What pip is at, of the lines that it prints."""
    line = line.strip()
    if line.startswith(('Collecting ', 'Downloading ', 'Building wheel', 'Installing collected')):
        steps.at(line)


def why(output: str) -> str:
    """The first error of pip, or that there is no network."""
    if NO_INDEX.search(output):
        return ': the package index cannot be reached'
    errors = re.findall(r'^ERROR: (.+)$', output, re.MULTILINE)
    return f': {errors[0]}' if errors else ''
