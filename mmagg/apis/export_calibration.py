"""Images by which an exported model is calibrated: read and prepared as its runtime does it, one at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmagg.apis.image_sources import ImageSource, image_sources
from mmagg.io.errors import InputError, named_by
from mmagg.runtime.description import Description
from mmagg.runtime.preprocessing import Prepared, prepared
from mmagg.runtime.sessions import INPUT, SIZES

MOST = 100  # images whose activations are looked at


def some_of(images: str | Path, most: int, flag: str) -> list[ImageSource]:
    """Images of a folder, a glob or a file: in the order of their names, evenly from all of them.

    Args:
        images: as of `image_sources`.
        most: number of them.
        flag: that names them, for messages.

    Raises:
        InputError: there are none.
    """
    try:
        found = list(image_sources(images).images)
    except InputError as error:
        raise InputError(f'{flag} {error}') from error
    return found[:: -(-len(found) // most)]


def ready_for(image: ImageSource, description: Description) -> Prepared:
    """An image as the model takes it.

    Raises:
        InputError: it cannot be read or prepared; names it.
    """
    try:
        return prepared(image.read(), description)
    except InputError as error:
        raise named_by(error, str(image)) from error


def require_usable(images: Sequence[ImageSource], description: Description) -> None:
    """Refuse images that cannot be read or prepared, before the minutes that an export takes."""
    for image in images:
        ready_for(image, description)


def inputs(
    images: Sequence[ImageSource], description: Description, *, batch: int | None, dtype: type[np.generic]
) -> Iterator[dict[str, np.ndarray]]:
    """What a runtime gives to a model for each image, (B, 3, H, W) and (B, 2), repeated where it takes several.

    Args:
        images: of `some_of`.
        description: of the model.
        batch: B; None: 1.
        dtype: of the model's input.

    Raises:
        InputError: an image cannot be read or prepared.
    """
    for image in tqdm(images, 'calibration', unit='image', delay=2, leave=False):
        ready = ready_for(image, description)
        feed = {
            INPUT: np.ascontiguousarray(ready.pixels.transpose(2, 0, 1)[None], dtype),
            SIZES: np.array([ready.img_shape], np.int64),
        }
        yield {name: x.repeat(batch or 1, axis=0) for name, x in feed.items()}
