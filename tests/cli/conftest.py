"""A tool runner and a model that it trained, for the tests that use the tools as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope='session')
def run(root: Path) -> Run:
    """Runs a tool in its own process; gives exit code, stdout and stderr."""

    def run(tool: str, *args: object, timeout: float = 120) -> subprocess.CompletedProcess:
        path = root / 'tools' / tool
        starter = ['bash'] if path.suffix == '.sh' else [sys.executable]
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHON': sys.executable,
            'CUDA_VISIBLE_DEVICES': '-1',
        }
        command = [*starter, str(path), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)

    return run


@pytest.fixture
def annotations(shapes_folder: Path) -> Path:
    """Those of the two validation images; not to be changed."""
    return shapes_folder / 'annotations/instances_val.json'


@pytest.fixture(scope='session')
def trained(run: Run, shapes_folder: Path, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a finished run of two iterations on `shapes_folder`; not to be changed."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run('train.py', tiny_config, '--coco', shapes_folder, '--work-dir', work_dir, '--seed', 0)
    assert done.returncode == 0, done.stderr
    return work_dir


@pytest.fixture(autouse=True)
def _loading_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools decide for their whole process how checkpoints are read; undo it after each test."""
    from mmengine.runner import CheckpointLoader

    from mmagg.apis import checkpoint

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(checkpoint, '_trusted', False)
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')
