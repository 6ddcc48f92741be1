"""tools/dataset_converters/make_shapes.py as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def make_shapes(root: Path):
    """Runs the tool with arguments; returns the finished process."""
    script = root / 'tools' / 'dataset_converters' / 'make_shapes.py'
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}  # a plain clone

    def run(*arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


SMALL = ('--images', 2, '--val-images', 1, '--size', 32, '--seed', 3)


def test_makes_replaces_and_refuses(make_shapes, tmp_path):
    out = tmp_path / 'new' / 'shapes'
    done = make_shapes(out, *SMALL)
    assert done.returncode == 0, done.stderr
    expected = {
        'annotations/instances_train.json',
        'annotations/instances_val.json',
        'images/train/000000.png',
        'images/train/000001.png',
        'images/val/000000.png',
    }
    assert _files(out) == expected

    refused = make_shapes(out, *SMALL)
    assert refused.returncode == 2
    assert refused.stderr.count('\n') == 1
    assert f'{out} is not empty' in refused.stderr

    replaced = make_shapes(out, *SMALL, '--images', 1, '--overwrite')
    assert replaced.returncode == 0, replaced.stderr
    assert _files(out) == expected - {'images/train/000001.png'}

    (out / 'thesis.tex').touch()
    foreign = make_shapes(out, *SMALL, '--overwrite')
    assert foreign.returncode == 2
    assert 'thesis.tex' in foreign.stderr
    assert (out / 'thesis.tex').exists()
    assert list(out.parent.iterdir()) == [out]


def test_bad_arguments_are_one_line(make_shapes, tmp_path):
    (tmp_path / 'file').touch()
    for arguments in (
        (tmp_path / 'out', '--size', 8),
        (tmp_path / 'out', '--images', 0),
        (tmp_path / 'file',),
        (tmp_path / 'file' / 'below',),
    ):
        done = make_shapes(*arguments)
        assert done.returncode == 2
        assert done.stderr.count('\n') == 1, done.stderr
        assert done.stderr.startswith('error: ')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
