"""Measure time and memory of a model, or compare two; see --help."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone
os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # the profiler reports its own start and stop otherwise

from mmagg.io.errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('benchmark'))
