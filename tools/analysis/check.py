"""Check a data set, as each training does first; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import check
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(check))
