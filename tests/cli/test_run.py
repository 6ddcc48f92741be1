import errno
import sys
import types

import pytest

from mmagg.cli.main import run
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import write_json, written_whole


@pytest.mark.parametrize(
    'error, line',
    [
        (InputError('a.py: no such file'), 'a.py: no such file'),
        (FileNotFoundError(errno.ENOENT, 'No such file or directory', 'a.py'), 'a.py: No such file or directory'),
        (KeyError('model'), "KeyError: 'model'"),
        (TypeError('two\n  lines'), 'TypeError: two lines'),
        (AssertionError(), 'AssertionError'),
    ],
)
def test_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


@pytest.fixture
def tool(monkeypatch):
    """Makes a tool that raises what it is given."""

    def make(error: BaseException | None, code: int | None = None) -> str:
        def command(args: object) -> int | None:
            if error is not None:
                raise error
            return code

        parser = types.SimpleNamespace(parse_args=lambda argv: argv)
        module = types.SimpleNamespace(parser=lambda: parser, made=command)
        monkeypatch.setitem(sys.modules, 'mmagg.cli.made', module)
        return 'made'

    return make


def test_exit_codes(tool, capsys) -> None:
    assert run(tool(None), []) == 0
    assert run(tool(None, code=1), []) == 1
    assert run(tool(KeyboardInterrupt()), []) == 130
    assert run(tool(KeyError('x')), []) == 2
    err = capsys.readouterr().err
    assert "error: KeyError: 'x' (--traceback shows where)" in err
    assert 'Traceback' not in err


def test_traceback_is_shown_when_asked_for(tool, capsys) -> None:
    assert run(tool(InputError('wrong')), ['--traceback']) == 2
    assert 'Traceback (most recent call last)' in capsys.readouterr().err


def test_failures_of_a_computation_are_not_hidden(tool) -> None:
    with pytest.raises(RuntimeError, match='out of memory'):
        run(tool(RuntimeError('out of memory')), [])


def test_the_rank_is_named(tool, capsys, monkeypatch) -> None:
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    run(tool(InputError('wrong')), [])
    assert capsys.readouterr().err == 'error: [rank 1] wrong\n'


def test_an_interrupted_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / 'deep/result.json'
    write_json([1], path)
    with pytest.raises(TypeError):
        write_json([object()], path)

    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:  # noqa: PT012
        temporary.write_text('half')
        raise KeyboardInterrupt
    assert path.read_text() == '[1]'
    assert [item.name for item in path.parent.iterdir()] == ['result.json']
