"""Write a trained model as one ONNX file; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a plain clone

from mmagg.cli import export
from mmagg.cli.main import run

if __name__ == '__main__':
    sys.exit(run(export))
