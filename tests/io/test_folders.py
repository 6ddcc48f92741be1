"""A folder is written whole or not at all, whenever the process is killed."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.io.errors import InputError, one_line
from mmagg.io.folders import folder_written_whole


def write(out: Path, content: str) -> None:
    with folder_written_whole(out) as draft:
        (draft / 'a').write_text(content)
        (draft / 'b').write_text(content)


def content(out: Path) -> set[str]:
    """What the files of a whole folder hold."""
    assert sorted(path.name for path in out.iterdir()) == ['a', 'b']
    return {path.read_text() for path in out.iterdir()}


def refused(out: Path) -> None:
    with folder_written_whole(out) as draft:
        assert not list(draft.iterdir())
        raise ZeroDivisionError


def forked(call: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            call()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


CALLS = 'mkdir', 'rename', 'rmdir', 'unlink', 'open'


def kill_at(place: int) -> None:
    """Let this process kill itself before the call of this number, counted over `CALLS`."""
    left = iter(range(place))

    def aimed(call: Callable) -> Callable:
        def counted(*args: object, **kwargs: object) -> object:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted

    for name in CALLS:
        setattr(os, name, aimed(getattr(os, name)))


@pytest.mark.skipif(sys.version_info < (3, 11), reason='its pathlib keeps calls of its own, which are not counted')
def test_wherever_it_is_killed_the_next_one_finds_the_old_or_the_new_folder(tmp_path, capsys):
    out, put_back = tmp_path / 'out', 0
    write(out, 'old')
    for place in range(100):

        def killed(place: int = place) -> None:
            kill_at(place)
            write(out, 'new')

        if os.waitpid(forked(killed), 0)[1] == 0:
            break
        with pytest.raises(ZeroDivisionError):
            refused(out)
        assert content(out) in ({'old'}, {'new'})
        put_back += 'put back' in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ['out']
        write(out, 'old')
    assert place > 10
    assert put_back == 1
    assert content(out) == {'new'}


def test_what_a_kill_left_of_the_old_folder_is_not_put_back(tmp_path):
    out = tmp_path / 'out'
    write(out, 'old')
    (tmp_path / '.out.mmagg-making/waste').mkdir(parents=True)
    (tmp_path / '.out.mmagg-making/waste/a').write_text('half')
    for path in (*out.iterdir(), out):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(ZeroDivisionError):
        refused(out)
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time(tmp_path):
    out = tmp_path / 'out'
    with folder_written_whole(out) as draft:
        (draft / 'a').write_text('first')
        (draft / 'b').write_text('first')
        with pytest.raises(InputError, match='out: another process is writing this folder'):
            write(out, 'second')
    assert content(out) == {'first'}
    write(out, 'second')
    assert content(out) == {'second'}


def test_many_at_once_do_not_get_in_each_others_way(tmp_path):
    out = tmp_path / 'out'

    def often(number: int) -> None:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                write(out, str(number))
            except InputError:
                continue

    children = [forked(lambda number=number: often(number)) for number in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(content(out)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_a_full_disk_is_said_with_the_name_of_the_folder(tmp_path):
    out = tmp_path / 'out'
    write(out, 'old')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match='File too large') as caught:
            write(out, 'new' * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert one_line(caught.value) == f'{out}: File too large'
    assert content(out) == {'old'}
    assert [path.name for path in tmp_path.iterdir()] == ['out']
