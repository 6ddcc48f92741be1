"""What is in a data set, and which config suits it; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import data_stats
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(data_stats))
