"""The exit codes of commands, and their table of contents."""

import argparse
import errno
import re
import types
from pathlib import Path

import pytest

import mmagg
from mmagg import __version__
from mmagg.cli.main import COMMANDS, main, run
from mmagg.io.errors import InputError, one_line


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
def tool():
    """Makes a command that raises what it is given."""

    def make(error: BaseException | None, code: int | None = None) -> types.SimpleNamespace:
        def command(args: object) -> int | None:
            if error is not None:
                raise error
            return code

        return types.SimpleNamespace(parser=argparse.ArgumentParser, run=command)

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


def test_several_problems_have_a_line_each(tool, capsys) -> None:
    assert run(tool(InputError('first', 'second\none')), []) == 2
    assert capsys.readouterr().err == 'error: first\nerror: second one\n'
    assert str(InputError('first', 'second')) == 'first\nsecond'


@pytest.mark.parametrize('kind', [InputError, SyntaxError, FloatingPointError])
def test_a_line_is_never_pages_long(kind, tool, capsys) -> None:
    run(tool(kind('first ' + 'x = 1\n' * 20000 + ' last')), [])
    line = capsys.readouterr().err
    assert line.count('\n') == 1
    assert len(line) < 2100
    assert 'first' in line
    assert ' … ' in line
    assert ' last' in line


def test_a_command_is_called_by_its_name(tool, capsys, monkeypatch) -> None:
    monkeypatch.setitem(COMMANDS, 'made', tool(None, code=1))
    assert main(['made', '--traceback']) == 1
    with pytest.raises(SystemExit):
        main(['made', '--help'])
    assert capsys.readouterr().out.startswith('usage: mmagg made [-h] [--traceback]')


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h']])
def test_the_help_lists_every_command(arguments, capsys) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f'\n  {name} ' not in shown] == []


def test_the_version(capsys) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'mmagg {__version__}\n'


def test_an_unknown_command_is_one_line_with_the_nearest(capsys) -> None:
    assert main(['trian']) == 2
    assert capsys.readouterr().err == 'error: mmagg has no command trian; did you mean train?\n'
    assert main(['xyz']) == 2
    assert capsys.readouterr().err == 'error: mmagg has no command xyz; mmagg --help lists them\n'


def test_the_rank_is_named(tool, capsys, monkeypatch) -> None:
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    run(tool(InputError('wrong')), [])
    assert capsys.readouterr().err == 'error: [rank 1] wrong\n'


@pytest.mark.parametrize('name', COMMANDS)
def test_the_example_of_the_help_is_typed_without_a_clone(name: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv('COLUMNS', '999')  # names are not wrapped
    with pytest.raises(SystemExit):
        main([name, '--help'])
    _, _, example = ' '.join(capsys.readouterr().out.split()).partition('example: ')
    assert not re.search('python |tools/|configs/', example)
    for command in example.split(' && ') if example else ():
        assert command.split()[0] == 'mmagg'
        assert command.split()[1] in COMMANDS
    assert all(Path(mmagg.config(path)).is_file() for path in re.findall(r'mmagg::(\S+)', example))
