"""tools/dataset_converters/convert_data.py as a user calls it."""

import cv2
import numpy as np
import pytest

from mmagg.cli.convert_data import FORMATS, TARGETS
from mmagg.cli.main import COMMANDS
from mmagg.cli.main import run as run_command
from mmagg.formats.known import FORMATS as READ
from mmagg.formats.written import WRITERS

TOOL = 'dataset_converters/convert_data.py'


@pytest.fixture
def export(tmp_path):
    """Ten images with YOLO's labels."""
    folder = tmp_path / 'export'
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(parents=True)
    for number in range(10):
        cv2.imwrite(str(folder / f'images/{number}.png'), np.zeros((8, 8, 3), np.uint8))
        (folder / f'labels/{number}.txt').write_text('0 0.1 0.1 0.9 0.1 0.9 0.9\n')
    (folder / 'classes.txt').write_text('nut\n')
    return folder


def test_converts_and_says_what_comes_next(run, export, tmp_path):
    done = run(TOOL, export, tmp_path / 'mine', '--split', '0.8,0.2')
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    *table, train = done.stdout.splitlines()
    assert table == [
        '                  train     val',
        'images                8       2     20%',
        'without objects       0       0',
        'nut                   8       2     20%',
        f'written to {tmp_path}/mine',
    ]
    assert train.endswith(f'configs/own/blendmask_lite0_fpn_320.py --coco {tmp_path}/mine')


def test_what_is_left_out_is_told_by_the_exit_code(export, tmp_path, capsys):
    (export / 'images/0.png').write_bytes(b'')
    assert run_command(COMMANDS['convert-data'], [str(export), str(tmp_path / 'mine'), '--rename', 'nut=bolt']) == 1
    assert '0.png: cannot be read as an image\n' in (said := capsys.readouterr().out)
    assert '\nbolt ' in said


@pytest.mark.parametrize(
    'arguments',
    [
        ('nowhere', 'mine'),
        ('export', 'mine', '--split', '1'),
        ('export', 'export'),
        ('export', 'mine', '--from', 'cvat'),
        ('export', 'mine', '--from', 'voc'),
        ('export', 'mine', '--from', 'labelme'),
        ('export', 'mine', '--from', 'masks'),
        ('export', 'mine', '--from', 'coco'),
        ('export', 'mine', '--from', 'coco-panoptic'),
    ],
)
def test_wrong_arguments_are_one_line(arguments, export, capsys, monkeypatch):
    monkeypatch.chdir(export.parent)
    assert run_command(COMMANDS['convert-data'], list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert [path.name for path in export.parent.iterdir()] == ['export']


def test_the_formats_of_the_flags_are_those_that_there_are():
    assert tuple(READ) == FORMATS
    assert tuple(WRITERS) == TARGETS
