"""Which objects centres and sizes tell apart, and how many cells learn one; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import object_statistics
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(object_statistics))
