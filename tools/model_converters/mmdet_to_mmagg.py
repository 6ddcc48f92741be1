"""Turn mmdet's SOLO, Decoupled SOLO and SOLOv2 checkpoints into ours; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import convert_mmdet
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(convert_mmdet))
