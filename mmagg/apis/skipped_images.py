"""Images that cannot be used, one among many: a line for each, and the work goes on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from mmagg.io.errors import InputError, ModelError, one_line


@contextmanager
def skipping(path: Path, skipped: dict[Path, InputError]) -> Iterator[None]:
    """Do what a block does with an image; where that cannot be used, say so on stderr and note it in ``skipped``.

    Raises:
        ModelError: the model runs on no image.
    """
    try:
        yield
    except ModelError:
        raise
    except InputError as error:
        tqdm.write(f'error: {one_line(error)}; skipped', file=sys.stderr)
        skipped[path] = error
