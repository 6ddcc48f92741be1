"""Processes of the pretended CUDA device."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.costs.cuda_guard import guarded

HERE = Path(__file__).parent
Findings = dict[str, dict]


@pytest.fixture(scope='session')
def findings_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Findings]:
    """Runs `measured.py` for some families: what it found, by name."""

    def run(*names: str) -> Findings:
        file = tmp_path_factory.mktemp('found') / 'found.json'
        environment = guarded()
        environment['PYTHONPATH'] += f':{HERE}:{HERE.parent}'
        command = [sys.executable, str(HERE / 'measured.py'), str(file), *names]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        found = [json.loads(line) for line in file.read_text().splitlines()]
        return {one['family']: one for one in found}

    return run
