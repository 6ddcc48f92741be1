"""Reading JSON files, large ones with a word before."""

import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

LARGE = 100e6  # bytes; some seconds


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; a large one is announced on stderr, as it is read in one go without a bar.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, or not UTF-8.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > LARGE:
        tqdm.write(f'reading {path} ({size / 1e6:.0f} MB) ...', file=sys.stderr)
    return json.loads(path.read_text(encoding='utf-8'))
