"""What a killed writer leaves goes with the next one; what is being written stays."""

import errno
import fcntl
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mmagg.io.errors import one_line
from mmagg.io.files import read_json, write_json, written_whole
from mmagg.io.images import find_images, write_image
from mmagg.io.partial import partial_path, remove_left, remove_temporary
from mmagg.io.tables import write_table

SECONDS = 0.5


def killed_while_writing(path: Path, count: int = 1) -> None:
    """Processes that write a file at the same time are killed when half of it is there."""
    child = os.fork()
    if child == 0:
        writers = [written_whole(path) for _ in range(count)]
        for writer in writers:
            writer.__enter__().write_text('half')
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('name', ['a.json', 'last_checkpoint', 'a.b.json', f'{"é" * 100}.json', '.hidden', 'a.'])
def test_the_next_writer_removes_what_a_kill_left(name, tmp_path):
    path = tmp_path / name
    killed_while_writing(path, 3)
    assert len(names(tmp_path)) == 3
    write_json([1], path)
    assert names(tmp_path) == [name]


def test_what_is_being_written_stays(tmp_path):
    path = tmp_path / 'a.json'
    with written_whole(path) as first:
        first.write_text('first')
        killed_while_writing(path)
        with written_whole(path) as second:
            assert second != first
            second.write_text('second')
        remove_temporary(tmp_path)
        assert path.read_text() == 'second'
        assert names(tmp_path) == sorted([first.name, 'a.json'])
    assert path.read_text() == 'first'
    assert names(tmp_path) == ['a.json']


def test_a_failed_writer_leaves_what_another_writes_under_its_name(tmp_path):
    path = tmp_path / 'a.json'

    def failing() -> None:
        with written_whole(path) as temporary:
            temporary.rename(tmp_path / 'moved')
            temporary.write_text('of another')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert partial_path(path).read_text() == 'of another'


def test_a_folder_is_cleared_of_them_alone(tmp_path):
    others = ['epoch_3.pth', '.hidden', '.epoch_3.pth', '.a-abcdefgh.pth', '.mmagg-partial.txt']
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / '.a.mmagg-partial-1.d').mkdir()
    (tmp_path / '.a.mmagg-partial-2.d').symlink_to(tmp_path / 'epoch_3.pth')
    before = names(tmp_path)
    for name in ('epoch_3.pth', 'last_checkpoint', f'{"x" * 100}.py'):
        killed_while_writing(tmp_path / name)
    remove_temporary(tmp_path)
    assert names(tmp_path) == before
    remove_temporary(tmp_path / 'none')


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    path = tmp_path / 'a.json'
    killed_while_writing(path)

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', flock)
    write_json([1], path)
    assert names(tmp_path) == [partial_path(path).name, 'a.json']
    assert not remove_left(partial_path(path))


def test_they_are_no_images(tmp_path):
    write_image(np.zeros((4, 4, 3), np.uint8), tmp_path / 'a.png')
    killed_while_writing(tmp_path / 'b.png')
    assert find_images(tmp_path, exclude=tmp_path / 'out') == ([tmp_path / 'a.png'], [])


def test_a_result_is_an_ordinary_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_json([], tmp_path / 'a.json')
    finally:
        os.umask(old)
    assert (tmp_path / 'a.json').stat().st_mode & 0o777 == 0o640


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk on which no file gets larger: writing more fails as on a full one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    'name, write',
    [
        ('a.json', lambda path: write_json(list(range(9999)), path)),
        ('a.csv', lambda path: write_table(['n'], ([n] for n in range(9999)), path)),
        ('a.png', lambda path: write_image(np.random.default_rng(0).integers(255, size=(99, 99, 3)), path)),
    ],
)
def test_a_full_disk_is_said_with_the_name_of_the_file(name, write, tmp_path):
    (tmp_path / name).write_text('old')
    with largest_file(9999), pytest.raises(OSError, match='File too large') as caught:
        write(tmp_path / name)
    assert one_line(caught.value) == f'{tmp_path / name}: File too large'
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, 'old')]


def test_a_folder_that_cannot_be_written_to_is_said_with_the_name_of_the_file(tmp_path, monkeypatch):
    def denied(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    monkeypatch.setattr(os, 'open', denied)
    with pytest.raises(PermissionError) as caught:
        write_json([], tmp_path / 'a.json')
    assert one_line(caught.value) == f'{tmp_path}/a.json: Permission denied'


def test_errors_of_other_files_keep_their_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.txt'), written_whole(tmp_path / 'a.txt') as temporary:
        temporary.write_text((tmp_path / 'none.txt').read_text())


def test_many_writers_of_one_file_do_not_get_in_each_others_way(tmp_path):
    path, children = tmp_path / 'a.json', []
    for number in range(4):
        if (child := os.fork()) == 0:
            try:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    write_json([number] * 1000, path)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(set(read_json(path))) == 1
    assert names(tmp_path) == ['a.json']
