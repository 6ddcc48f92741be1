"""Set published figures beside measured ones; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import paper_tables
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(paper_tables))
