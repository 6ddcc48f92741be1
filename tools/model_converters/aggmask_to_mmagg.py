"""Turn checkpoints of the AggMask release and of SOLO's authors into ours; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import convert_aggmask
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(convert_aggmask))
