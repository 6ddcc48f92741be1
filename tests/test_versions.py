"""Versions: the lock is whole and agrees with the pins, the ranges of setup.cfg name all that is imported."""

import ast
import re
import sys
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Import name -> distribution, where they differ.
DISTRIBUTIONS = {'cv2': 'opencv-python', 'PIL': 'pillow', 'yaml': 'pyyaml'}
# Two distributions provide each of these; one is chosen by an extra.
CHOSEN = {'mmcv', 'mmengine', 'mmdet'}


def requirements(path: str) -> list[Requirement]:
    """Those of a file, without comments and lines for pip."""
    lines = (line.partition('#')[0].strip() for line in (ROOT / path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith('-')]


def pins(path: str) -> dict[str, set[str]]:
    """The versions of each distribution."""
    found: dict[str, set[str]] = {}
    for requirement in requirements(path):
        (specifier,) = requirement.specifier
        assert specifier.operator == '==', requirement
        found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


def ranges() -> dict[str, list[Requirement]]:
    """What setup.cfg asks for: by extra, and always ('')."""
    setup = ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    texts = {'': setup['options']['install_requires'], **setup['options.extras_require']}
    return {extra: [Requirement(line) for line in text.split('\n') if line] for extra, text in texts.items()}


@pytest.mark.parametrize('path', ['requirements.txt', '.ci/requirements.txt'])
def test_the_lock_has_the_pins(path):
    locked = pins('constraints.txt')
    assert all(versions <= locked[name] for name, versions in pins(path).items())
    assert re.search(r'^-c \S*constraints\.txt$', (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.skipif(sys.version_info < (3, 11), reason='the lock is for 3.11 and newer')
def test_the_lock_has_all_that_the_pinned_bring():
    """Of what is installed here in the locked version."""
    locked, seen, todo = pins('constraints.txt'), set(), [r.name for r in requirements('requirements.txt')]
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            brought = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another system, or not in an environment of one's own
            continue
        if name in locked and metadata.version(name).partition('+')[0] not in locked[name]:
            continue
        wanted = (Requirement(text) for text in brought)
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({'extra': ''})]
    assert not seen - locked.keys()


@pytest.mark.parametrize('extra', ['geo', 'onnx', 'openvino', 'supervision', 'track'])
def test_the_lock_has_extras_that_go_with_the_pinned(extra):
    assert {canonicalize_name(one.name) for one in ranges()[extra]} <= pins('constraints.txt').keys()


def test_triton_is_the_one_that_torch_brings():
    """torch's wheels for public Linux want one version; the lock is resolved with them (`test_pins_resolve`)."""
    locked = pins('constraints.txt')
    assert pins('requirements.txt')['triton'] == locked['triton']
    assert any(name.startswith('nvidia-') for name in locked)  # else it was resolved with a CPU build
    brought = [Requirement(text) for text in metadata.requires('torch') or []]
    if metadata.version('torch').partition('+')[0] in locked['torch']:
        wanted = [one.specifier for one in brought if one.name == 'triton']  # none in a CPU build
        assert all(specifier.contains(version) for specifier in wanted for version in locked['triton'])


def test_the_tested_versions_are_in_the_ranges():
    locked = pins('constraints.txt')
    asked = [one for extra, some in ranges().items() if extra != 'openmmlab' for one in some]
    for requirement in asked:
        for version in locked.get(canonicalize_name(requirement.name), ()):
            assert requirement.specifier.contains(version), requirement


def test_what_is_imported_is_declared():
    imported = set()
    for path in (ROOT / 'mmagg').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split('.')[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split('.')[0])
    imported -= sys.stdlib_module_names | CHOSEN | {'mmagg'}
    declared = {canonicalize_name(one.name) for one in ranges()['']}
    optional = {canonicalize_name(one.name) for extra, some in ranges().items() if extra for one in some}
    names = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in imported}
    # Those that the package does without.
    spared = {'lvis', 'onnx', 'onnxruntime', 'onnxscript', 'rasterio', 'tifffile', 'timm', 'triton'}
    assert names - declared == spared
    assert spared <= optional


@pytest.mark.parametrize(
    'extra, name, refused, taken',
    [
        ('', 'torch', '2.5.1', '2.6.0'),  # whose `safe_globals` takes pairs of a class and its name
        ('', 'faster-coco-eval', '1.6.0', '1.6.4'),  # which crashes
        ('openmmlab', 'mmcv', '2.2.0', '2.1.0'),  # mmdet 3.3.0 refuses 2.2
        ('openmmlab', 'setuptools', '81.0.0', '80.9.0'),  # mmcv's build needs its pkg_resources
    ],
)
def test_ranges_leave_out_what_cannot_work(extra, name, refused, taken):
    (requirement,) = [one for one in ranges()[extra] if one.name == name]
    assert not requirement.specifier.contains(refused)
    assert requirement.specifier.contains(taken)


def test_the_lowest_torch_is_tested():
    """By the job `oldest`."""
    (torch,) = [one for one in ranges()[''] if one.name == 'torch']
    lowest = f'torch=={str(torch.specifier).removeprefix(">=")}.0'
    assert f"install {lowest} 'numpy<2'" in (ROOT / '.github/workflows/ci.yml').read_text()
