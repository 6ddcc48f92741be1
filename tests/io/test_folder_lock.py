"""One process at a time in a folder."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mmagg.io.errors import InputError
from mmagg.io.folder_lock import LOCK, locked


def hold(folder: Path, pipe) -> None:
    """In another process: hold the lock until told to end."""
    with locked(folder, '--work-dir'):
        pipe.send('holding')
        pipe.recv()


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the folder ``w``, and a pipe to end it."""
    context = multiprocessing.get_context('fork')
    pipe, other = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path / 'w', other))
    process.start()
    assert pipe.recv() == 'holding'
    yield process, pipe
    process.kill()


def test_a_second_process_is_refused_and_changes_nothing(holder, tmp_path):
    process, pipe = holder
    before = (tmp_path / 'w' / LOCK).stat()
    with (
        pytest.raises(InputError, match=rf'--work-dir \S+/w: in use by process {process.pid} on \S+ since 20\d\d-'),
        locked(tmp_path / 'w', '--work-dir'),
    ):
        pass
    after = (tmp_path / 'w' / LOCK).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    pipe.send('end')
    process.join()
    with locked(tmp_path / 'w', '--work-dir'):
        assert f'process {os.getpid()} ' in (tmp_path / 'w' / LOCK).read_text()
    assert not (tmp_path / 'w').exists()


def test_a_killed_process_holds_nothing(holder, tmp_path):
    process, _ = holder
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (tmp_path / 'w' / LOCK).exists()
    with locked(tmp_path / 'w', '--work-dir'):
        (tmp_path / 'w/result').touch()
    assert [path.name for path in (tmp_path / 'w').iterdir()] == ['result']


def test_a_file_that_was_deleted_meanwhile_is_not_the_lock(tmp_path, monkeypatch):
    samestat, seen = os.path.samestat, []

    def deleted_once(*stats: os.stat_result) -> bool:
        seen.append(stats)
        return len(seen) > 1 and samestat(*stats)

    monkeypatch.setattr('os.path.samestat', deleted_once)
    with locked(tmp_path, '--work-dir'):
        assert len(seen) == 2
        assert (tmp_path / LOCK).exists()


def test_without_locks_work_goes_on(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.lockf', none)
    with locked(tmp_path / 'a/b', '--work-dir'):
        assert (tmp_path / 'a/b').is_dir()
    assert not (tmp_path / 'a').exists()


def test_many_at_once_do_not_get_in_each_others_way(tmp_path):
    """The folder and the lock's file go away again and again."""

    def often() -> None:
        end, code = time.monotonic() + 1, 0
        while time.monotonic() < end:
            try:
                with locked(tmp_path / 'a/b', '--work-dir'):
                    (tmp_path / 'alone').touch(exist_ok=False)
                    (tmp_path / 'alone').unlink()
            except InputError:
                continue
            except OSError:
                code = 1
        os._exit(code)

    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=often) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / 'mine').write_text('mine')
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w' / LOCK).symlink_to(tmp_path / 'mine')
    with pytest.raises(OSError, match='symbolic link'), locked(tmp_path / 'w', '--work-dir'):
        pass
    assert (tmp_path / 'mine').read_text() == 'mine'


def test_a_link_to_nowhere_is_no_folder(tmp_path):
    (tmp_path / 'w').symlink_to(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError), locked(tmp_path / 'w', '--work-dir'):
        pass
