"""Pins and ranges can be installed with the package index's torch, which brings CUDA's libraries and its own Triton.

An environment with PyTorch's CPU build shows nothing of that: it wants no Triton. Nothing is downloaded but metadata.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_versions import pins

ROOT = Path(__file__).resolve().parents[1]
UV = shutil.which('uv', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
UNREACHABLE = re.compile('error sending request|Failed to fetch|Could not connect|operation timed out')

pytestmark = [pytest.mark.slow, pytest.mark.skipif(UV is None, reason='needs uv: pip install -r .ci/requirements.txt')]


def resolved(python: str, *lines: str) -> tuple[dict[str, str], str]:
    """The versions that uv chooses for x86-64 Linux, with what it says; none where there are none that fit."""
    command = [UV, 'pip', 'compile', '--quiet', '--no-config', '--no-annotate', '--no-header']
    command += ['--python-version', python, '--python-platform', 'x86_64-manylinux_2_28']
    command += ['--default-index', 'https://pypi.org/simple', '-']
    # Other indices may have PyTorch's CPU build.
    environment = {name: value for name, value in os.environ.items() if not name.startswith('UV_')}
    text = '\n'.join(lines)
    done = subprocess.run(command, input=text, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    if UNREACHABLE.search(done.stderr):
        pytest.skip('needs the package index')
    return dict(re.findall(r'^([\w.-]+)==(\S+)', done.stdout, re.MULTILINE)), done.stderr


@pytest.mark.parametrize('python', ['3.11', '3.12', '3.13'])
def test_the_pins(python: str) -> None:
    found, said = resolved(python, '-r requirements.txt')
    assert {'torch', 'triton', 'nvidia-cudnn-cu13'} <= found.keys(), said
    locked = pins('constraints.txt')
    assert not {name: version for name, version in found.items() if version not in locked[name]}


@pytest.mark.parametrize('python', ['3.10', '3.11', '3.12', '3.13'])
def test_the_ranges(python: str) -> None:
    """With the torch that docs/install.md names."""
    (torch,) = pins('requirements.txt')['torch']
    found, said = resolved(python, f'torch=={torch}', '.[onedl,dev]')
    assert {'triton', 'onedl-mmcv', 'nvidia-cudnn-cu13'} <= found.keys(), said


def test_another_triton_is_refused() -> None:
    (torch,) = pins('requirements.txt')['torch']
    found, said = resolved('3.12', f'torch=={torch}', 'triton==3.6.0')
    assert not found
    assert 'triton' in said
