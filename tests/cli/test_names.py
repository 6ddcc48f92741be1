"""Names of files and classes of any kind, and output in a locale that does not have them."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run

FILES = [
    'line\nbreak.png',
    'escape\x1b[31m.png',
    '--out.png',
    '100% {x} #1 ?a=<b>"\'\\.png',
    'été 日本 \U0001f600.png',
    f'{"é" * 125}.png',
    f'{"x" * 251}.bmp',
    f'{"x" * 251}.png',
]
CLASSES = ['line\nbreak', '<b>&"\'', 'été \x1b[31m']


@pytest.fixture(scope='module')
def named(shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder whose images and classes have such names; not to be changed."""
    folder = tmp_path_factory.mktemp('named')
    source = json.loads((shapes_folder / 'annotations/instances_val.json').read_text())
    picture = (shapes_folder / 'images/val' / source['images'][0]['file_name']).read_bytes()
    try:
        os.close(os.open(folder / os.fsdecode(b'\xff.png'), os.O_CREAT))
        files = [*FILES, os.fsdecode(b'not utf-8 \xff.png')]
    except OSError:  # this file system has names in UTF-8 alone
        files = FILES
    square = dict(bbox=[9, 9, 30, 30], area=900, iscrowd=0, segmentation=[[9, 9, 39, 9, 39, 39, 9, 39]])
    content = {
        'images': [{'id': i, 'file_name': name, 'width': 64, 'height': 64} for i, name in enumerate(files, 1)],
        'annotations': [{'id': i, 'image_id': i, 'category_id': 1, **square} for i in range(1, len(files) + 1)],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(CLASSES, 1)],
    }
    (folder / 'annotations').mkdir()
    (folder / 'images/val').mkdir(parents=True)
    for split in ('train', 'val'):
        (folder / f'annotations/instances_{split}.json').write_text(json.dumps(content))
    for name in files:
        (folder / 'images/val' / name).write_bytes(picture)
    shutil.copytree(folder / 'images/val', folder / 'images/train')
    return folder


@pytest.fixture(scope='module')
def work_dir(named: Path, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is trained on it."""
    folder = tmp_path_factory.mktemp('trained on names')
    assert run(COMMANDS['train'], [str(tiny_config), '--coco', str(named), '--work-dir', str(folder)]) == 0
    return folder


def test_every_image_has_a_picture(named: Path, work_dir: Path, tmp_path: Path) -> None:
    model = [str(work_dir / name) for name in ('tiny.py', 'iter_2.pth')]
    number = len(list((named / 'images/val').iterdir()))
    demo = [str(named / 'images/val'), *model, '--out-dir', str(tmp_path / 'demo')]
    test = [*model, '--show-dir', str(tmp_path / 'shown'), '--report', str(tmp_path / 'report')]
    browse = [model[0], '--coco', str(named), '--split', 'val', '--out', str(tmp_path / 'seen'), '--number', '99']
    for command, arguments in (('demo', demo), ('test', [*test, '--work-dir', str(tmp_path / 'tested')])):
        assert run(COMMANDS[command], arguments) == 0
    assert run(COMMANDS['browse'], browse) == 0
    for folder in ('demo', 'shown', 'seen/pictures'):
        assert len([path for path in (tmp_path / folder).iterdir() if path.suffix != '.json']) == number
    result = json.loads((tmp_path / 'demo/predictions.json').read_text())
    assert {image['file_name'] for image in result['images']} == set(os.listdir(named / 'images/val'))
    assert (tmp_path / 'report/report.html').is_file()


@pytest.mark.parametrize('errors', ['strict', 'surrogateescape'])
def test_a_locale_that_has_ascii_alone(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    """Python opens stdout with 'surrogateescape' in the POSIX locale."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(output, 'ascii', errors))
    (tmp_path / 'results.json').write_text('[]')
    files = [str(named / 'annotations/instances_val.json'), str(tmp_path / 'results.json')]
    assert run(COMMANDS['analyse-groups'], [*files, '--out', str(tmp_path / 'out')]) == 0
    sys.stdout.flush()
    assert rb'\u2013' in output.getvalue()


def test_an_encoding_of_file_names_that_lacks_a_letter(
    named: Path, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(os, 'fsencode', lambda name: str(name).encode('ascii', 'surrogateescape'))
    monkeypatch.setattr(sys, 'getfilesystemencoding', lambda: 'ascii')
    arguments = [str(tiny_config), '--coco', str(named), '--work-dir', str(tmp_path / 'run')]
    assert run(COMMANDS['train'], arguments) == 2
    error = capsys.readouterr().err
    kind = 'images whose "file_name" cannot be written in ascii, the encoding of file names here (set PYTHONUTF8=1)'
    assert f'fatal: {kind}: 2 (' in error
