"""Mutated inputs through the commands: no traceback, no signal, no hang, nothing written outside."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.cases import Case
from fuzz.targets import TARGETS

CASES = Path(__file__).parent / 'cases'


def fuzz(root: Path, *arguments: object, timeout: float) -> str:
    """What the fuzzer prints, which finds nothing."""
    command = [sys.executable, str(root / 'tools/fuzz.py'), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_300_cases_and_all_that_were_kept(root: Path) -> None:
    """Each in a process of its own; that of the tests may have threads, which a fork would not have."""
    output = fuzz(root, '--cases', 300, '--jobs', 2, timeout=300)  # two: it is the last of all tests to end
    kept = len(list(CASES.glob('*.json')))
    assert re.search(rf'^{kept + 300} cases in .* s: 0 faults', output, re.M), output


@pytest.mark.slow
def test_each_command_comes_to_its_end_on_sound_inputs(root: Path, tmp_path: Path) -> None:
    """Else what is edited for it may be read by nobody."""
    ends = {target.line: (kind, target.code) for kind, targets in TARGETS.items() for target in targets}
    for place, (line, (kind, code)) in enumerate(ends.items()):
        (tmp_path / f'{place}.json').write_text(Case(kind, line, (), code).to_json())
    fuzz(root, *tmp_path.iterdir(), timeout=300)


@pytest.mark.slow
def test_10_000_cases(root: Path) -> None:
    output = fuzz(root, '--cases', 10_000, '--seed', 1, '--jobs', 2, timeout=1200)
    [seconds] = re.findall(r'^\d+ cases in (\d+) s: 0 faults', output, re.M)
    assert int(seconds) <= 600
