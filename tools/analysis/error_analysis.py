"""Show where AP is lost, by true outlines and by kinds of errors; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import analyse_errors
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(analyse_errors))
