"""tools/dataset_converters/split_coco.py as a user calls it."""

import json

import cv2
import numpy as np
import pytest

from mmagg.cli.main import COMMANDS
from mmagg.cli.main import run as run_command

TOOL = 'dataset_converters/split_coco.py'


@pytest.fixture
def export(tmp_path):
    """Ten images in Label Studio's layout."""
    folder = tmp_path / 'export'
    (folder / 'images').mkdir(parents=True)
    for number in range(10):
        cv2.imwrite(str(folder / f'images/{number}.png'), np.zeros((8, 8, 3), np.uint8))
    square = {'segmentation': [[1, 1, 5, 1, 5, 5, 1, 5]], 'bbox': [1, 1, 4, 4], 'area': 16, 'iscrowd': 0}
    content = {
        'images': [{'id': n, 'file_name': f'images\\{n}.png', 'width': 8, 'height': 8} for n in range(10)],
        'annotations': [{'id': n, 'image_id': n, 'category_id': 0, **square} for n in range(10)],
        'categories': [{'id': 0, 'name': 'nut'}],
    }
    (folder / 'result.json').write_text(json.dumps(content))
    return folder


def test_splits_and_says_so(run, export, tmp_path):
    done = run(TOOL, export, tmp_path / 'mine')
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert done.stdout.splitlines() == [
        '                  train     val',
        'images                8       2     20%',
        'without objects       0       0',
        'nut                   8       2     20%',
        f'written to {tmp_path}/mine',
    ]


def test_images_without_a_file_are_told_by_the_exit_code(export, tmp_path, capsys):
    (export / 'images/0.png').unlink()
    assert run_command(COMMANDS['split-coco'], [str(export), str(tmp_path / 'mine')]) == 1
    assert 'left out, images without a file: 1 (images\\0.png)' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [('nowhere', 'mine'), ('export', 'mine', '--val', '1'), ('export', 'export')])
def test_wrong_arguments_are_one_line(arguments, export, capsys, monkeypatch):
    monkeypatch.chdir(export.parent)
    assert run_command(COMMANDS['split-coco'], list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert [path.name for path in export.parent.iterdir()] == ['export']
