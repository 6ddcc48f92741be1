"""Time and memory of the masks of a head with boxes: few coefficients or all, 1 to 100 detections; see --help."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone
os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # the profiler reports its own start and stop otherwise

from mmagg.io.errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool('benchmark_boxed_masks'))
