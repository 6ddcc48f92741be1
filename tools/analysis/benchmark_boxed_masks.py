"""Time and memory of the masks of a head with boxes: few coefficients or all, 1 to 100 detections; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import benchmark_boxed_masks
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(benchmark_boxed_masks))
