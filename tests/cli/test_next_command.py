"""The command that comes next, by the door that was used."""

import shlex
import sys
from pathlib import Path

import pytest

from mmagg.cli.next_command import sibling


@pytest.mark.parametrize(
    'typed, argv, words',
    [
        ('python', 'tools/train.py', ['python', 'tools/test.py']),
        ('.venv/bin/python', '{root}/tools/train.py', ['.venv/bin/python', '{root}/tools/test.py']),
        ('python3', '{root}/mmagg/__main__.py', ['python3', '-m', 'mmagg', 'test']),
        ('python', '/somewhere/bin/mmagg', ['/somewhere/bin/mmagg', 'test']),
        ('python', '/somewhere/bin/pytest', ['python', '-m', 'mmagg', 'test']),
    ],
)
def test_the_door_is_the_one_that_was_used(typed, argv, words, root: Path, monkeypatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, 'argv', [argv.format(root=root)])
    monkeypatch.setattr(sys, 'orig_argv', [typed, argv])
    expected = [word.format(root=root) for word in words]
    assert shlex.split(sibling('test', 'work dirs/a.py', Path("it's.pth"))) == [*expected, 'work dirs/a.py', "it's.pth"]


def test_a_command_on_the_path_has_its_name(monkeypatch) -> None:
    monkeypatch.setattr('shutil.which', lambda name: f'/usr/bin/{name}')
    monkeypatch.setattr(sys, 'argv', ['/usr/bin/mmagg'])
    assert sibling('test', 'a.py') == 'mmagg test a.py'
