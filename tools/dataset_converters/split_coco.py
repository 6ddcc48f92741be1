"""Make a folder for training and validation from what an annotation tool exports; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import split_coco
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(split_coco))
