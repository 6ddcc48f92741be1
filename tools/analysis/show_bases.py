"""Show the bases of an image, and how attention makes masks of them; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import show_bases
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(show_bases))
