"""Time and memory of a neck of A2-FPN against its plain equations; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import benchmark_neck
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(benchmark_neck))
