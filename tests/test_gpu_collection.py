"""The tests for GPUs are collected where MMDetection is absent: those that need it are skipped, with the reason."""

import os
import re
import subprocess
import sys
from pathlib import Path

from hidden_packages import MMDETECTION, hiding

MARK = 'pytest.mark.' + 'gpu'  # not to be found in this file
ROOT = Path(__file__).resolve().parents[1]
COLLECT = """
import pytest
code = pytest.main(['-m', 'gpu', '--collect-only', '-q', '-p', 'no:cacheprovider'])
assert not {*HIDDEN} & {*sys.modules}
sys.exit(code)
"""


def test_without_a_gpu_that_is_said_once() -> None:
    command = [sys.executable, '-m', 'pytest', '-m', 'gpu', '-p', 'no:cacheprovider', 'tests/ops/test_rle.py']
    hidden = os.environ | {'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True)
    assert done.returncode == 1
    assert '1 tests need CUDA' in done.stdout
    assert 'FAILED' not in done.stdout


def test_those_that_do_without_mmdetection_are_collected() -> None:
    done = subprocess.run(
        [sys.executable, '-c', hiding(*MMDETECTION) + COLLECT], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = set(re.findall(r'^(tests/[^\s:]+)::', done.stdout, re.MULTILINE))
    skipped = dict(re.findall(r"^SKIPPED .* (tests/\S+):\d+: could not import '(\w+)'", done.stdout, re.MULTILINE))
    marked = {str(path.relative_to(ROOT)) for path in (ROOT / 'tests').rglob('test_*.py') if MARK in path.read_text()}
    assert collected | skipped.keys() == marked
    assert {path for path in marked if path.startswith('tests/ops/')} <= collected
    assert set(skipped.values()) <= {*MMDETECTION}
