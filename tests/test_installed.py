"""Wheel, sdist and editable install, each in an environment of its own, used from a folder with nothing in it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import mmdet
import pytest
from printed_rules import ONE_EPOCH

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(mmdet.__file__).parents[1]
EPOCH = ['--cfg-options', *(f'{key}={value}' for key, value in ONE_EPOCH.items())]
OWN = """
_base_ = {base}
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = []
"""
# MMDetection's and mmengine's functions, with mmagg's configs by name and by path.
PYTHON = """
import mmagg.register
from mmdet.apis import DetInferencer, init_detector
from mmengine.config import Config
from mmengine.hub import get_config

cfg = get_config('mmagg::demo/solo_tiny_shapes.py')
assert cfg.filename.startswith({site!r}), cfg.filename
assert Config.fromfile('by_name.py').model == dict(cfg.model, _scope_='mmagg')
init_detector('by_name.py', None, device='cpu')
init_detector(mmagg.config('demo/solo_tiny_shapes.py'), None, device='cpu')
for config in ('by_name.py', mmagg.config('demo/solo_tiny_shapes.py'), cfg):
    DetInferencer(config, {checkpoint!r}, device='cpu')
assert 'solo_r50_fpn_1x_coco' in DetInferencer.list_models('mmagg')
"""

pytestmark = pytest.mark.slow


def called(*words: object, folder: Path, **variables: str) -> str:
    """What a command prints, which ends well; nothing of this clone is on its paths."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1', **variables}
    environment.pop('PYTHONPATH', None)
    done = subprocess.run([*map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f'{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build in."""
    folder = tmp_path_factory.mktemp('source') / 'mmagg'
    folder.mkdir()
    for name in ('.ci', 'configs', 'mmagg', 'tests', 'tools'):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope='module')
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp('sdist')
    called(sys.executable, '-c', f'from setuptools.build_meta import *; build_sdist({str(folder)!r})', folder=clone)
    (archive,) = folder.glob('mmagg-*.tar.gz')
    with tarfile.open(archive) as file:
        file.extractall(folder, filter='data')
    return folder / archive.name.removesuffix('.tar.gz')


def wheel_of(source: Path, folder: Path) -> Path:
    """The wheel that pip builds of a source tree, without the network."""
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-cache-dir', '--no-index']
    called(*build, '--wheel-dir', folder, source, folder=folder)
    (wheel,) = folder.glob('mmagg-*.whl')
    return wheel


@pytest.fixture(scope='module')
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the sdist."""
    return wheel_of(sdist, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Installs into a new environment, which sees the packages of this one but mmagg; gives its folder."""

    def install(*what: object) -> Path:
        folder = tmp_path_factory.mktemp('environment')
        called(sys.executable, '-m', 'venv', '--without-pip', folder, folder=folder)
        (site,) = folder.glob('lib/python*/site-packages')
        (site / 'others.pth').write_text(f'{SITE}\n')  # its own .pth files, and so an editable mmagg, are not read
        alone = ['--no-deps', '--no-index', '--no-build-isolation', '--ignore-installed', '--no-compile']
        called(folder / 'bin/python', '-m', 'pip', 'install', *alone, *what, folder=folder)
        return folder

    return install


def content(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as file:
        return {entry.filename: entry.CRC for entry in file.infolist() if not entry.filename.endswith('/RECORD')}


def test_clone_and_sdist_have_the_same_wheel(clone: Path, sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert content(wheel_of(clone, tmp_path)) == content(wheel)
    kept = {path.name for path in ROOT.iterdir() if path.suffix in ('.cfg', '.md', '.toml', '.txt', '.yml')}
    assert {*kept, 'Makefile', '.ci', 'configs', 'tests', 'tools', 'mmagg'} <= {path.name for path in sdist.iterdir()}


def test_an_editable_install_has_the_configs_of_its_clone(
    clone: Path, installed: Callable[..., Path], tmp_path: Path
) -> None:
    code = "from mmagg.apis import load_config; print(load_config('mmagg::demo/solo_tiny_fit.py').filename)"
    python = installed('--editable', clone) / 'bin/python'
    name = called(python, '-c', code, folder=tmp_path).splitlines()[-1]
    assert Path(name).resolve() == clone / 'configs/demo/solo_tiny_fit.py'


def test_the_wheel_works_in_an_empty_folder(wheel: Path, installed: Callable[..., Path], tmp_path: Path) -> None:
    environment, here = installed(wheel), tmp_path / 'here'
    (package,) = environment.glob('lib/python*/site-packages/mmagg')
    python, command = environment / 'bin/python', environment / 'bin/mmagg'
    brought = written(package)
    here.mkdir()

    def run(*words: object) -> str:
        return called(*words, folder=here, XDG_CACHE_HOME=str(tmp_path / 'cache'))

    run(command, 'make-demo', '--images', 8, '--val-images', 3, '--size', 64, *EPOCH)
    report = (here / 'work_dirs/demo/report.md').read_text()
    assert f'-m mmagg train {package}/.mim/configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py' in report
    run(python, '-c', 'from mmagg.ops.dynamic_conv_native import problem; assert problem() is None, problem()')
    assert list((tmp_path / 'cache/mmagg').glob('*.so')), 'the compiled operator'
    assert 'AggMask, Table 4' in run(command, 'paper-tables', '--only', 'aggmask')

    shapes, config = ['--coco', 'work_dirs/demo/shapes'], 'mmagg::demo/solo_tiny_shapes.py'
    assert 'next: ' in run(command, 'train', config, *shapes, *EPOCH)
    checkpoint = 'work_dirs/solo_tiny_shapes/epoch_1.pth'
    run(command, 'test', config, checkpoint, *shapes)
    learnt = run(command, 'compare-learning', config, *shapes, '--seeds', 0, *EPOCH)
    assert '| solo_tiny_shapes | 1 |' in learnt

    (here / 'by_name.py').write_text(OWN.format(base=f'{config!r}'))
    (here / 'by_path.py').write_text(OWN.format(base="__import__('mmagg').config('demo/solo_tiny_shapes.py')"))
    run(command, 'train', 'by_name.py', *shapes)
    run(python, '-c', PYTHON.format(site=str(package), checkpoint=checkpoint))
    mmdets = SITE / 'mmdet/.mim/tools/train.py'
    for name, tool in (('mim', package / '.mim/tools/train.py'), ('mmdet', mmdets)):  # as `mim train` calls them
        run(python, tool, 'by_path.py', '--work-dir', name)
        assert (here / name / 'epoch_1.pth').is_file()
    assert written(package) == brought, 'nothing is written beside the code'
    assert {path.name for path in here.iterdir()} == {'by_name.py', 'by_path.py', 'mim', 'mmdet', 'work_dirs'}


def written(folder: Path) -> dict[str, int]:
    """The files of a folder, and when they were written, without the bytecode of Python."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
