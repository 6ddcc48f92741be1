"""Libraries of the cache that are cut off, planted or not to be reached, and compilers that do anything but compile."""

import hashlib
import os
import pwd
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmagg.ops import compiled_library as module
from mmagg.ops.compiled_library import NoLibraryError, compiled_library

COMPILER = next(filter(None, map(shutil.which, module.COMPILERS)), None)
FLAGS = ('-O0', '-shared', '-fPIC')
SOURCE = 'extern "C" int answer() { return %d; }\n'
ROOT = os.geteuid() == 0


class Place:
    """A source, a home, a folder for temporary files, and a compiler that counts how often it is called.

    Its script has the output's path in ``$out``.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.calls = folder / 'home', folder / 'tmp', folder / 'calls'
        self.home.mkdir(mode=0o755)
        self.temporary.mkdir()
        self.source, self.script = folder / 'small.cpp', folder / 'compiler'
        self.source.write_text(SOURCE % 42)
        self.compiles_by(f'exec {COMPILER} "$@"')
        self.cache = self.home / '.cache' / 'mmagg'

    def compiles_by(self, command: str) -> None:
        find_output = 'for word; do [ "$last" = -o ] && out=$word; last=$word; done'
        self.script.write_text(f'#!/bin/sh\necho >> {self.calls}\n{find_output}\n{command}\n')
        self.script.chmod(0o755)

    def answer(self) -> int:
        library = compiled_library(self.source, FLAGS, 'answer')
        assert not list(self.temporary.iterdir()), 'nothing is left behind'
        return library.answer()

    def fault(self) -> str:
        with pytest.raises(NoLibraryError) as caught:
            compiled_library(self.source, FLAGS, 'answer')
        assert caught.value.failed
        assert '\n' not in str(caught.value)
        assert not list(self.temporary.iterdir()), 'nothing is left behind'
        return str(caught.value)

    @property
    def compilations(self) -> int:
        return len(self.calls.read_text()) if self.calls.is_file() else 0

    @property
    def library(self) -> Path:
        """The only file of the cache, whole and with the hash of its content in its name."""
        (path,) = self.cache.iterdir()
        assert path.stem.split('_')[2] == hashlib.sha256(path.read_bytes()).hexdigest()
        return path

    def planted(self) -> Path:
        """Another library of the name and hash that are looked for."""
        good = self.library
        other = self.source.with_name('other.cpp')
        other.write_text(SOURCE % 13)
        module.compile_source([COMPILER, *FLAGS, str(other), '-o', str(other.with_suffix('.so'))], other.parent)
        content = other.with_suffix('.so').read_bytes()
        path = self.cache / f'{good.stem.rpartition("_")[0]}_{hashlib.sha256(content).hexdigest()}.so'
        good.unlink()
        path.write_bytes(content)
        path.chmod(0o644)
        return path


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    if COMPILER is None:
        pytest.skip('no C++ compiler here')
    place = Place(tmp_path)
    monkeypatch.setenv('HOME', str(place.home))
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setenv('CXX', str(place.script))
    monkeypatch.setattr(tempfile, 'tempdir', str(place.temporary))
    return place


def test_compiled_once_and_kept_for_this_user(place) -> None:
    before = os.umask(0)
    try:
        assert [place.answer(), place.answer()] == [42, 42]
    finally:
        os.umask(before)
    assert place.compilations == 1
    assert place.cache.stat().st_mode & 0o777 == place.cache.parent.stat().st_mode & 0o777 == 0o700
    assert place.library.stat().st_mode & 0o777 == 0o644
    place.source.write_text(SOURCE % 43)
    assert place.answer() == 43
    assert place.compilations == 2
    assert len(list(place.cache.iterdir())) == 2


def test_a_kept_library_needs_no_compiler(place, monkeypatch) -> None:
    monkeypatch.delenv('CXX')
    assert place.answer() == 42
    monkeypatch.setenv('PATH', '')
    assert place.answer() == 42
    shutil.rmtree(place.cache)
    with pytest.raises(NoLibraryError, match=r'no C\+\+ compiler; install g\+\+') as caught:
        place.answer()
    assert not caught.value.failed


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_link(path: Path) -> None:
    elsewhere = path.parent.parent / 'elsewhere.so'
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    'damage',
    [
        lambda path: path.write_bytes(b''),
        lambda path: path.write_bytes(path.read_bytes()[:4096]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.chmod(0o666),
        as_link,
        as_pipe,
        Path.unlink,
    ],
    ids=['empty', 'cut off', 'a byte less', 'zeros', 'anybody may write to it', 'a link', 'a pipe', 'deleted'],
)
def test_a_damaged_library_is_compiled_once_more(place, damage) -> None:
    place.answer()
    path = place.library
    damage(path)
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 2
    assert place.library == path


def test_a_folder_in_the_place_of_a_library(place) -> None:
    place.answer()
    as_folder(place.library)
    assert place.answer() == 42


@pytest.mark.parametrize(
    'who',
    [
        pytest.param('this user', id='this user'),
        pytest.param('another', marks=pytest.mark.skipif(not ROOT, reason='only root gives files away')),
    ],
)
def test_only_a_library_of_this_user_is_loaded(place, who) -> None:
    place.answer()
    planted = place.planted()
    if who == 'another':
        os.chown(planted, 6666, 6666)
    assert place.answer() == (42 if who == 'another' else 13)
    assert planted.exists() == (who == 'this user')


@pytest.mark.skipif(not ROOT, reason='only root gives files away')
@pytest.mark.parametrize('which', ['the folder', 'the one above'])
def test_a_folder_of_another_user_is_left_alone(place, which) -> None:
    place.answer()
    planted = place.planted()
    os.chown(place.cache if which == 'the folder' else place.cache.parent, 6666, 6666)
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 3
    assert list(place.cache.iterdir()) == [planted]


def test_a_folder_that_others_could_write_to_is_closed(place) -> None:
    place.cache.mkdir(parents=True)
    place.cache.chmod(0o777)
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 1
    assert place.cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize('above', ['home', 'home/.cache'])
@pytest.mark.parametrize(('mode', 'kept'), [(0o777, False), (0o1777, True)])
def test_a_folder_that_others_could_exchange(place, above, mode, kept) -> None:
    place.cache.parent.mkdir(mode=0o700)
    (place.home.parent / above).chmod(mode)
    assert place.answer() == 42
    assert bool(list(place.cache.iterdir())) == kept


def test_a_link_is_followed_once(place) -> None:
    """Who can change it cannot exchange the folder between the look at it and its use."""
    place.cache.parent.mkdir(mode=0o700)
    elsewhere = place.home / 'elsewhere'
    elsewhere.mkdir(mode=0o700)
    place.cache.symlink_to(elsewhere)
    assert module.cache_folder() == elsewhere.resolve()


def test_a_folder_that_cannot_be_written_to_is_read(place, monkeypatch) -> None:
    place.answer()
    path = place.library
    path.chmod(0o444)
    place.cache.chmod(0o555)
    assert place.answer() == 42
    assert place.compilations == 1
    place.cache.chmod(0o700)
    assert place.library == path


@pytest.mark.parametrize('why', ['no home', 'no such home', 'a file', 'a full disk'])
def test_without_a_place_to_keep_it(place, monkeypatch, why) -> None:
    if why == 'no home':

        def nobody(uid: int) -> None:
            raise KeyError(f'getpwuid(): uid not found: {uid}')

        monkeypatch.delenv('HOME')
        monkeypatch.setattr(pwd, 'getpwuid', nobody)
    elif why == 'no such home':
        monkeypatch.setenv('HOME', '/proc/nonexistent')
    elif why == 'a file':
        (place.home / '.cache').mkdir()
        place.cache.write_text('')
    else:

        def full(handle: int) -> None:
            raise OSError(28, 'No space left on device')

        monkeypatch.setattr(os, 'fsync', full)
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 2
    assert not place.cache.is_dir() or not list(place.cache.iterdir())


@pytest.mark.parametrize('name', ['with spaces', 'größe', os.fsdecode(b'\xff\xfe'), 'deeper/and/deeper', '[a-c]*'])
def test_the_name_of_the_cache(place, monkeypatch, name) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(place.home / name))
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 1
    assert len(list((place.home / name / 'mmagg').iterdir())) == 1


def test_a_relative_cache_is_none(place, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    assert place.answer() == 42
    assert place.library
    assert not Path('relative').exists()


def test_a_compiler_with_arguments(place, monkeypatch) -> None:
    monkeypatch.setenv('CXX', f'env "{place.script}" -DWITH=1')
    assert place.answer() == 42
    assert place.compilations == 1


OF_ANOTHER_MACHINE = f'{COMPILER} "$@" && printf "\\377\\377" | dd of="$out" bs=1 seek=18 conv=notrunc 2>/dev/null'


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        ('echo "first\nsecond" >&2; exit 1', 'small.cpp: first second'),
        ('exit 3', 'it ends with 3'),
        ('kill -9 $$', 'it ends with -9'),
        ('exit 0', 'compiler writes no library'),
        ('> "$out"', 'file too short'),
        ('echo garbage > "$out"', ''),
        (f'{COMPILER} "$@" -Danswer=other', 'has no answer'),
        (OF_ANOTHER_MACHINE, ''),
    ],
)
def test_a_compiler_that_does_not_compile(place, command, words) -> None:
    place.compiles_by(command)
    assert words in place.fault()
    place.fault()
    place.compiles_by(f'exec {COMPILER} "$@"')
    before = place.compilations
    assert [place.answer(), place.answer()] == [42, 42], 'once it is mended, all is well'
    assert place.compilations == before + 1
    assert place.library


@pytest.mark.parametrize(
    ('name', 'words'),
    [('/nonexistent/g++', 'No such file'), ('/', 'Permission denied'), ('g++ "', 'No closing quotation')],
)
def test_what_is_no_compiler(place, monkeypatch, name, words) -> None:
    monkeypatch.setenv('CXX', name)
    assert words in place.fault()


def ended(pid: int) -> bool:
    """True if a process is gone, or waits for its parent to see that it is; a signal takes a moment."""
    for _ in range(100):
        try:
            if Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] in 'ZX':
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize('how', ['it takes too long', 'interrupted'])
def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(place, monkeypatch, how) -> None:
    written = place.source.with_name('pid')
    place.compiles_by(f'sleep 1000 & echo $! > {written}; wait')
    monkeypatch.setattr(module, 'TIMEOUT', 0.5 if how == 'it takes too long' else 60)
    if how == 'it takes too long':
        assert 'takes more than 0.5 s' in place.fault()
    else:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with pytest.raises(KeyboardInterrupt):
                place.answer()
        finally:
            signal.signal(signal.SIGALRM, before)
    assert ended(int(written.read_text()))
    assert not list(place.temporary.iterdir())


def test_a_compiler_that_took_too_long_is_not_waited_for_until_it_changes_or_a_day_has_passed(place, monkeypatch):
    monkeypatch.setattr(module, 'TIMEOUT', 0.2)
    place.compiles_by('sleep 1000')
    assert 'takes more than 0.2 s' in place.fault()
    (note,) = place.cache.iterdir()
    assert f'delete {note} to try it again' in place.fault()
    assert place.compilations == 1
    os.utime(note, (0, 0))
    assert 'takes more than' in place.fault()
    assert 'delete' in place.fault()
    monkeypatch.setattr(module, 'TIMEOUT', 60)
    place.compiles_by(f'exec {COMPILER} "$@"')
    assert [place.answer(), place.answer()] == [42, 42]
    assert place.compilations == 3
    assert place.library, 'the note is gone'


def test_a_process_that_the_compiler_leaves_is_not_waited_for(place) -> None:
    written = place.source.with_name('pid')
    place.compiles_by(f'sleep 1000 & echo $! > {written}; exec {COMPILER} "$@"')
    assert place.answer() == 42
    pid = int(written.read_text())
    assert not ended(pid)
    os.kill(pid, signal.SIGKILL)


def test_many_at_once(place) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(compiled_library, place.source, FLAGS, 'answer') for _ in range(4)]
    assert [library.result().answer() for library in found] == [42] * 4
    assert place.library
