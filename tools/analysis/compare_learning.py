"""Train several configs with several seeds on the same data and compare their AP; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import compare_learning
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(compare_learning))
