"""The doors under tools/, and the commands behind them: each says what it takes where nothing else is installed."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mmagg.cli.main import COMMANDS, SCRIPTS, name_of, summary

ROOT = Path(__file__).resolve().parents[1]
DOORS = sorted((ROOT / 'tools').rglob('*.py'))
DOORS.remove(ROOT / 'tools/fuzz.py')  # to the tests, not to a command
# Formats a command's help in a Python without any package.
HELP = "import sys; sys.path.insert(0, '.'); from mmagg.cli import {} as command; command.parser().print_help()"


def command_behind(door: Path) -> str:
    """The command that a door imports and runs."""
    tree = ast.parse(door.read_text())
    imported = {
        name.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith('mmagg')
        for name in node.names
    }
    [command] = [name for name, module in imported.items() if module == 'mmagg.cli']
    assert imported == {command: 'mmagg.cli', 'run': 'mmagg.cli.main'}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == 'run']
    assert [ast.unparse(call) for call in calls] == [f'run({command})']
    return command


@pytest.mark.parametrize('door', DOORS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_door_opens_a_command_from_a_plain_clone(door: Path) -> None:
    assert command_behind(door).replace('_', '-') in COMMANDS
    assert f'parents[{len(door.relative_to(ROOT).parts) - 1}]' in door.read_text()


def test_the_name_of_a_door_is_a_command_as_well() -> None:
    named = {door.stem.replace('_', '-'): command_behind(door).replace('_', '-') for door in DOORS}
    assert {door: command for door, command in named.items() if door != command} == SCRIPTS


def test_every_command_has_a_door() -> None:
    assert sorted(map(command_behind, DOORS)) == sorted(name.replace('-', '_') for name in COMMANDS)


@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_is_described(name: str) -> None:
    command = COMMANDS[name]
    assert name_of(command) == name
    parser = command.parser()
    assert parser.description
    parser.format_help()  # a stray % in a help text fails here
    assert len(summary(command)) <= 80, 'it stands in the table of contents'
    assert not summary(command).startswith('What')


def test_a_command_without_docstring_has_no_summary() -> None:
    """As under ``python -OO``, where ``mmagg --help`` still lists the commands."""
    assert summary(ModuleType('train')) == ''


def python_alone(code: str) -> subprocess.CompletedProcess:
    """Run code in a Python that has nothing but its standard library."""
    return subprocess.run([sys.executable, '-S', '-E', '-c', code], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_needs_the_standard_library_alone(name: str) -> None:
    done = python_alone(HELP.format(name.replace('-', '_')))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: ')


def test_the_table_of_contents_needs_the_standard_library_alone() -> None:
    done = python_alone("import sys; sys.path.insert(0, '.'); from mmagg.cli.main import main; sys.exit(main([]))")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_help_names_what_the_functions_know() -> None:
    """Choices that are written out in a command, because what knows them cannot be imported for a help text."""
    from mmagg.apis.launch import VARIABLES
    from mmagg.apis.tta import FACTORS
    from mmagg.demo.make_demo import CONFIG
    from mmagg.demo.shapes import CLASSES

    def help_of(name: str) -> str:
        return ' '.join(COMMANDS[name].parser().format_help().split())

    for name in ('train', 'test'):
        assert f'--launcher {{none,{",".join(VARIABLES)}}}' in help_of(name)
    assert f'mirror image at {", ".join(map(str, FACTORS))} times' in help_of('test')
    assert f'Classes: {", ".join(CLASSES)}.' in help_of('make-shapes')
    assert f'mmagg::{CONFIG}' in help_of('make-demo')


def test_messages_name_commands_not_scripts():
    """Where mmagg is installed there are no scripts; the help of `cli` is translated."""
    for path in (ROOT / 'mmagg').rglob('*.py'):
        tree = ast.parse(path.read_text())
        documentation = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        }
        said = [x.value for x in ast.walk(tree) if isinstance(x, ast.Constant) and x not in documentation]
        scripts = [text for text in said if isinstance(text, str) and re.search(r'tools/\S+\.py', text)]
        assert not scripts or 'cli' in path.parts, f'{path}: {scripts}'
