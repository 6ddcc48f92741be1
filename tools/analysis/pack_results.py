"""Results as COCO's evaluation server takes them; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a plain clone

from mmagg.cli import pack_results
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(pack_results))
