"""Fit the codec of a MEInst to the masks of a data set, and measure what it loses; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import fit_mask_codec
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(fit_mask_codec))
