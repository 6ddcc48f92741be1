"""No command writes to a file that it reads: it is refused in one line, and all files stay as they are."""

import os
import shutil
from pathlib import Path

import pytest

from mmagg.apis.config import load_config
from mmagg.cli.main import COMMANDS, run

RESULTS, FILE = 'results.json', 'annotations/instances_val.json'
TRAIN = 'annotations/instances_train.json'


@pytest.fixture
def files(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a COCO folder in it, a config, a checkpoint and results; to be changed by nobody."""
    folder = Path(shutil.copytree(shapes_folder, tmp_path / 'data'))
    shutil.copy(tiny_config, folder / 'tiny.py')
    shutil.copy(trained / 'iter_2.pth', folder / 'model.pth')
    (folder / RESULTS).write_text('[]')
    (folder / 'own').mkdir()
    shutil.copy(tiny_config, folder / 'own')
    os.symlink('images/val', folder / 'link')
    os.symlink(FILE, folder / 'link.json')
    os.symlink('tiny.py', folder / 'link.npz')
    os.symlink('model.pth', folder / 'link.pth')
    monkeypatch.chdir(folder)
    return folder


MODEL = 'tiny.py', 'model.pth'
ANALYSES = (
    'analyse-calibration',
    'analyse-confusion',
    'analyse-errors',
    'analyse-groups',
    'analyse-precision-recall',
)


@pytest.mark.parametrize(
    'command, arguments, flag',
    [
        *((name, (FILE, RESULTS, '--out', '.'), '--out .') for name in ANALYSES),
        *((name, (FILE, RESULTS, '--out', 'annotations'), '--out annotations') for name in ANALYSES),
        ('compare-results', (FILE, RESULTS, RESULTS, '--out', 'annotations'), '--out annotations'),
        ('compare-results', (FILE, RESULTS, RESULTS, '--images', 'images/val', '--out', 'link'), '--out link'),
        ('browse', ('tiny.py', '--coco', '.', '--out', 'images/train'), '--out images/train'),
        ('browse', ('tiny.py', '--coco', '.', '--split', 'val', '--out', 'link'), '--out link'),
        ('browse', ('tiny.py', '--coco', '.', '--out', '.'), '--out .'),
        ('demo', ('images/val', *MODEL, '--out-dir', '.'), '--out-dir .'),
        ('demo', ('images/val', *MODEL, '--out-dir', 'link'), '--out-dir link'),
        ('boxes-to-masks', (*MODEL, RESULTS, '--coco', '.', '--out', RESULTS), f'--out {RESULTS}'),
        ('boxes-to-masks', (*MODEL, RESULTS, '--coco', '.', '--out', FILE), f'--out {FILE}'),
        ('boxes-to-masks', (*MODEL, RESULTS, '--coco', '.', '--out', 'link.json'), '--out link.json'),
        ('mask-voting', (*MODEL, '--coco', '.', '--out', 'annotations'), '--out annotations'),
        ('mask-voting', (*MODEL, '--coco', '.', '--out', 'images'), '--out images'),
        ('fit-mask-codec', ('--ann', 'link.npz', '--out', 'link.npz'), '.npz of --out link.npz'),
        ('fit-mask-codec', ('--ann', 'a.csv', '--out', 'a.npz'), '.csv of --out a.csv'),
        ('show-bases', ('images/val/000000.png', *MODEL, '--out', 'images/val/000000.png'), '--out images/val/000000.'),
        ('show-representations', (*MODEL, 'images/val/000000.png', '--out', 'link/000000.png'), '--out link/000000.'),
        *(
            ('train', ('tiny.py', '--coco', '.', '--work-dir', place), f'--work-dir {place}')
            for place in ('.', 'images/train', 'annotations', 'link')
        ),
        ('train', ('tiny.py', '--work-dir', 'own', '--coco', '.'), '--work-dir own: holds tiny.py, a config that no'),
        ('show-representations', (*MODEL, 'images/val/000000.png', '--out', 'images/val/000000'), '--out images/val/0'),
        ('show-bases', ('images/val/000000.png', *MODEL, '--out', 'images/val/000000'), '--out images/val/000000.png'),
        ('convert-mmdet', ('model.pth', 'link.pth', '--config', 'tiny.py'), 'DST link.pth'),
        ('convert-aggmask', ('model.pth', 'tiny.py', '--config', 'tiny.py'), 'DST tiny.py'),
        ('convert-adelaidet', ('model.pth', 'd.npz', '--dictionary', 'd.npz', '--config', 'tiny.py'), 'DST d.npz'),
        ('convert-lvis', (FILE, 'link.json'), 'OUT.json link.json'),
        ('data-stats', ('.', '--out', 'annotations'), '--out annotations'),
        ('data-stats', (FILE, '--json', FILE), f'--json {FILE}'),
        ('split-coco', (FILE, 'images', '--images', 'images/val'), 'OUT images'),
        ('split-coco', ('.', 'link'), 'OUT link'),
        ('convert-data', ('.', 'link'), 'DST link'),
        ('convert-data', (FILE, 'images', '--images', 'images/val'), 'DST images'),
        ('make-demo', ('--config', 'tiny.py', '--out', '.'), '--out .'),
        ('compare-learning', ('tiny.py', '--coco', 'tiny', '--work-dir', '.'), '--work-dir tiny'),
        ('paper-tables', ('--only', 'meinst', '--codec', 'c.npz', '--ann', FILE, '--out', FILE), f'--out {FILE}'),
        ('count-flops', ('tiny.py', '--json', 'tiny.py'), '--json tiny.py'),
        ('benchmark', ('tiny.py', '--vs', 'link.npz', '--json', 'link.npz'), '--json link.npz'),
        ('benchmark-boxed-masks', ('tiny.py', '--json', 'tiny.py'), '--json tiny.py'),
        ('test', (*MODEL, '--coco', '.', '--out', FILE), f'--out {FILE}'),
        ('test', (*MODEL, '--coco', '.', '--out', TRAIN), f'--out {TRAIN}'),
        ('test', (*MODEL, '--coco', '.', '--show-dir', 'images/val'), '--show-dir images/val'),
        ('test', (*MODEL, '--coco', '.', '--show-dir', 'images/train'), '--show-dir images/train'),
        ('test', (*MODEL, '--coco', '.', '--show-dir', 'images/val/../val'), '--show-dir images/val/../val'),
        ('test', (*MODEL, '--coco', '.', '--show-dir', 'images'), '--show-dir images'),
        ('test', (*MODEL, '--coco', '.', '--show-dir', 'link'), '--show-dir link'),
        ('test', (*MODEL, '--coco', '.', '--out', 'link.json'), '--out link.json'),
        ('test', (*MODEL, '--coco', '.', '--report', '.'), '--report .'),
        ('test', ('tiny.py', 'metrics.json', '--coco', '.', '--work-dir', '.'), '--work-dir metrics.json'),
        ('test', (*MODEL, '--coco', '.', '--work-dir', 'images'), '--work-dir images'),
    ],
)
def test_inputs_are_kept(files: Path, capsys, command: str, arguments: tuple[str, ...], flag: str) -> None:
    before = {path: path.read_bytes() for path in files.rglob('*') if path.is_file()}
    assert run(COMMANDS[command], arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {flag}')
    assert ', which would be overwritten' in error or ', which is read' in error
    assert error.count('\n') == 1
    assert {path: path.read_bytes() for path in files.rglob('*') if path.is_file()} == before


def test_what_a_config_is_based_on_is_kept(files: Path, capsys) -> None:
    (files / 'base').mkdir()
    shutil.move('tiny.py', 'base/tiny.py')
    Path('base/more.json').write_text('{"_base_": "tiny.py"}')
    Path('own.py').write_text("_base_ = 'base/more.json'\n")
    image, base = 'images/val/000000.png', 'base/more.json'
    shutil.copy('own.py', 'base.py')
    model = 'own.py', 'model.pth'
    other = 'own/tiny.py', 'model.pth', image
    for command, arguments, flag in (
        ('test', (*model, '--coco', '.', '--out', base), f'--out {base}'),
        ('test', (*model, '--coco', '.', '--report', 'base'), '--report base'),
        ('browse', ('own.py', '--coco', '.', '--out', 'base'), '--out base'),
        ('mask-voting', (*model, '--coco', '.', '--out', 'base'), '--out base'),
        ('boxes-to-masks', (*model, RESULTS, '--coco', '.', '--out', base), f'--out {base}'),
        ('demo', ('images/val', *model, '--out-dir', 'base'), '--out-dir base'),
        ('show-bases', (image, *model, '--out', base), f'--out {base}'),
        ('show-representations', (*model, image, '--out', base), f'--out {base}'),
        (
            'show-representations',
            (*other, '--plain', *model, '--out', base),
            f'--out {base}',
        ),
        ('make-demo', ('--config', 'own.py', '--out', 'base'), '--out base'),
        ('make-demo', ('--compare', 'own.py', '--out', 'base'), '--out base'),
        ('compare-learning', ('base.py', '--coco', '.', '--work-dir', '.'), '--work-dir base'),
        ('count-flops', ('own.py', '--json', base), f'--json {base}'),
        ('benchmark', ('own/tiny.py', '--vs', 'own.py', '--json', base), f'--json {base}'),
        ('convert-mmdet', ('model.pth', base, '--config', 'own.py'), f'DST {base}'),
        ('convert-adelaidet', ('model.pth', base, '--config', 'own.py'), f'DST {base}'),
    ):
        assert run(COMMANDS[command], arguments) == 2
        assert capsys.readouterr().err.startswith(f'error: {flag}: ')
    Path('base/own.py').write_text(load_config('own.py').pretty_text)  # as a training leaves it
    Path('own.py').write_text("_base_ = 'base/own.py'\n")
    assert run(COMMANDS['train'], ['own.py', '--coco', '.', '--work-dir', 'base']) == 2
    assert 'base/own.py: is an input, which would be overwritten' in capsys.readouterr().err


@pytest.mark.parametrize('out', ['pictures', 'images/pictures', 'images/val/pictures'])
def test_a_config_of_ones_own_is_heard(files: Path, capsys, out: str) -> None:
    """What a config names, without --coco, is an input; a new folder beside or in it is not."""
    root = "data_root='data/', ann_file='a.json', data_prefix=dict(img='images')"
    Path('own.py').write_text(f"_base_ = 'tiny.py'\ntest_dataloader = dict(dataset=dict({root}))\n")
    for flag, name in (('--out', 'data/a.json'), ('--show-dir', 'data/images'), ('--report', 'data')):
        assert run(COMMANDS['test'], ['own.py', 'model.pth', flag, name]) == 2
        assert f'error: {flag} {name}: ' in capsys.readouterr().err
    assert run(COMMANDS['test'], ['own.py', 'none.pth', '--show-dir', f'data/{out}']) == 2
    assert 'data/a.json: no such file' in capsys.readouterr().err, 'the folder is accepted'
