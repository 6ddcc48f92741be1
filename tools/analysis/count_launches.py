"""Count what a model launches and waits for on a GPU; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import count_launches
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(count_launches))
