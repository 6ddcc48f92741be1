"""The check of a data set, without a training."""

import json
import shutil
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run


def check(folder: Path, *more: str) -> int:
    return run(COMMANDS['check'], [str(folder), *more])


def test_a_sound_folder(shapes_folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert check(shapes_folder) == 0
    said, after = capsys.readouterr().out.splitlines()[-2:]
    assert said == f'{shapes_folder}: nothing in it keeps a training from running'
    assert after.startswith('next: ')
    assert after.endswith(f'--coco {shapes_folder}')


def test_what_would_break_a_training_is_listed(shapes_folder: Path, tmp_path: Path, capsys) -> None:
    folder = shutil.copytree(shapes_folder, tmp_path / 'data')
    path = folder / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    content['images'][0]['file_name'] = 'none.png'
    del content['annotations'][-1]['segmentation']
    path.write_text(json.dumps(content))
    assert check(folder) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(':')[0] for line in lines[-3:]] == ['fatal', 'fatal', 'error']
    assert lines[-1] == 'error: 2 fatal problem(s) in the data, see above; fix them'
    assert check(folder, '--config', 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py') == 2
    assert '1 fatal problem(s)' in capsys.readouterr().err  # boxes need no masks


def test_a_folder_that_is_not_there(capsys: pytest.CaptureFixture) -> None:
    assert check(Path('nowhere')) == 2
    assert capsys.readouterr().err == 'error: nowhere: no such folder\n'
