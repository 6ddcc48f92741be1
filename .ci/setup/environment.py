"""The environment in .venv: what is wrong with it, and how it is moved to another place or another Python."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from steps import SetupError

OLDEST, NEWEST = (3, 11), (3, 13)  # of the tested stack
# What is installed follows from these.
FILES = ('requirements.txt', 'constraints.txt', 'setup.cfg')
WAY_OUT = 'pass SYSTEM_PYTHON=/path/to/python, or PYTHON= of an environment of your own'
FACTS = 'import json, sys; print(json.dumps([sys.version_info[:2], getattr(sys, "_base_executable", None)]))'
# How a script names its Python in its first lines: pip writes the second form where the path has a space or is long.
HEADERS = re.compile(
    rb"""\A(?:#!/bin/sh\n'''exec' "?(?P<quoted>[^"\n]+?)"? "\$0" "\$@"\n' '''\n|#!(?P<plain>[^\n ]+)\n)"""
)


@dataclass(frozen=True)
class Environment:
    """The environment of a clone.

    Attributes:
        root: the clone.
    """

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / '.venv'

    @property
    def python(self) -> Path:
        return self.folder / 'bin/python'

    @property
    def ready(self) -> Path:
        """Its state when it was finished; not there before."""
        return self.folder / 'ready'

    @property
    def log(self) -> Path:
        """What the commands of the last set-up printed."""
        return self.folder / 'setup.log'

    @property
    def mark(self) -> Path:
        """Says that `make` has made the folder."""
        return self.folder / 'made-by-make'

    def facts(self) -> tuple[tuple[int, int], str | None] | None:
        """Version of its Python, and the Python that it was made of; None if it does not run."""
        with suppress(OSError, ValueError, subprocess.CalledProcessError):
            text = subprocess.run(
                [str(self.python), '-I', '-S', '-c', FACTS],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ).stdout
            version, base = json.loads(text)
            return tuple(version), base
        return None

    def files(self) -> dict[str, str]:
        """The hashes of what decides what is installed."""
        return {name: hashlib.sha256((self.root / name).read_bytes()).hexdigest() for name in FILES}

    def state(self) -> dict[str, object]:
        """What is compared to see if something has changed."""
        facts = self.facts()
        return {'path': str(self.folder), 'python': list(facts[0]) if facts else None, **self.files()}

    def recorded(self) -> dict[str, object]:
        """The state when it was finished; empty if it was not."""
        with suppress(OSError, ValueError):
            recorded = json.loads(self.ready.read_text())
            return recorded if isinstance(recorded, dict) else {}
        return {}

    def ours(self) -> bool:
        """True if `make` has made it, and may delete it. It once left an empty `ready` as its only mark."""
        return self.mark.exists() or (self.ready.exists() and not self.ready.stat().st_size)

    def site(self) -> Path | None:
        """Where its packages are."""
        return next(iter(sorted(self.folder.glob('lib/python*/site-packages'))), None)

    def wrong(self, asked: tuple[int, int] | None = None) -> str | None:
        """What has to be mended, in a line; None if nothing has.

        Arguments:
            asked: the version of Python that the user asked for.
        """
        if not self.folder.exists():
            return 'making .venv'
        state, recorded = self.state(), self.recorded()
        if state['python'] is None:
            return f'.venv: its Python is gone ({self.python} does not run)'
        if asked and tuple(state['python']) != asked:
            return f'.venv has Python {text(state["python"])}, and {text(asked)} is asked for'
        if not recorded:
            return '.venv was not finished: going on'
        if state['python'] != recorded['python']:
            return f'.venv: its Python was {text(recorded["python"])} and is {text(state["python"])} now'
        if state['path'] != recorded['path']:
            return f'.venv was moved, from {recorded["path"]}'
        changed = [name for name in FILES if state[name] != recorded.get(name)]
        return f'.venv: changed since it was made: {", ".join(changed)}' if changed else None

    def finish(self, files: dict[str, str]) -> None:
        """Note that it is whole, with these hashes: a file that has changed meanwhile is noticed."""
        new = self.folder / 'ready.new'
        new.write_text(json.dumps({**self.state(), **files}, indent=1))
        new.replace(self.ready)

    def base(self, asked: tuple[int, int] | None = None) -> str | None:
        """The Python that its packages go on with; None if they are not for any that is here, or asked for."""
        folders = list(self.folder.glob('lib/python*/site-packages'))
        if len(folders) != 1:
            return None
        facts, name = self.facts(), folders[0].parent.name
        for version, python in (facts or (None, None), (sys.version_info[:2], sys.executable)):
            if (
                version
                and name == f'python{text(version)}'
                and OLDEST <= version <= NEWEST
                and asked in (None, version)
            ):
                return python or sys.executable
        return None

    def clear(self) -> None:
        """Delete all but the mark, which shows who may do so when this is interrupted."""
        for path in self.folder.iterdir():
            if path != self.mark:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def relink(self, python: str, run: Callable[..., str]) -> None:
        """Make it an environment of another Python of the same version, or at another place.

        Packages stay; what has the path in it is written anew, but for editable installs.

        Arguments:
            python: the other one.
            run: runs a command, given as words.
        """
        for path in self.folder.glob('bin/python*'):
            if re.fullmatch(r'python[\d.]*', path.name):
                path.unlink()
        run(python, '-m', 'venv', '--without-pip', self.folder)
        for path in self.folder.glob('bin/*'):
            if path.is_file() and not path.is_symlink():
                script = path.read_bytes()
                moved = with_python(script, str(self.python))
                if moved != script:
                    path.write_bytes(moved)

    def tidy(self) -> None:
        """Remove what says that packages are installed that an interrupted pip, or `rm`, has left not whole."""
        site = self.site()
        if site is None:
            return
        for path in site.glob('*.dist-info'):
            # pip writes these last.
            if not (path / 'INSTALLER').exists() or not whole(site, path / 'RECORD'):
                shutil.rmtree(path)
        for path in site.glob('~*'):  # what it was about to replace
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not any(site.glob('pip-*.dist-info')):  # ensurepip would mix another version into it
            shutil.rmtree(site / 'pip', ignore_errors=True)


def whole(site: Path, record: Path) -> bool:
    """True if there are all files that pip's list of a package names, bytecode apart."""
    with suppress(OSError), open(record, encoding='utf-8', newline='') as file:
        return all(os.path.exists(os.path.join(site, name)) for name, digest, _ in csv.reader(file) if digest)
    return False


def with_python(script: bytes, python: str) -> bytes:
    """A script of an environment, run by another Python; other files as they are."""
    found = HEADERS.match(script)
    name = (found['plain'] or found['quoted']).rpartition(b'/') if found else None
    if name is None or not name[0].endswith(b'/.venv/bin') or not name[2].startswith(b'python'):
        return script
    # The kernel takes no spaces in these lines, and no more than 127 bytes.
    plain = ' ' not in python and len(python.encode()) < 125
    header = f'#!{python}\n' if plain else f"""#!/bin/sh\n'''exec' "{python}" "$0" "$@"\n' '''\n"""
    return header.encode() + script[found.end() :]


def text(version: object) -> str:
    return '.'.join(map(str, version))


def require_python() -> None:
    """Refuse to make an environment of this Python where that cannot work.

    Raises:
        SetupError: it is too old or too new, or lacks what makes environments.
    """
    here = f'{sys.executable} is Python {text(sys.version_info[:2])}'
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(f'the tested stack needs Python {text(OLDEST)} to {text(NEWEST)}, and {here}: {WAY_OUT}')
    for module in ('venv', 'ensurepip'):
        try:
            __import__(module)
        except ImportError:
            raise SetupError(
                f'{here} without its module `{module}`: install it (Debian and Ubuntu: '
                f'apt install python{text(sys.version_info[:2])}-venv), or {WAY_OUT}'
            ) from None
