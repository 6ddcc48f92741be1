"""The sizes at which a network sees images: resized by the test pipeline, padded in the batch."""

from collections.abc import Iterable
from math import ceil
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from mmagg.datasets.coco_defects import size_defect
from mmagg.datasets.coco_file import check_keys, coco_format, read_coco, refuse
from mmagg.datasets.coco_folder import unwrapped
from mmagg.datasets.image_errors import unusable
from mmagg.io.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""


def image_sizes(path: str | Path) -> list[Size]:
    """The sizes of an annotation file's images, in its order; its annotations are not read.

    Raises:
        OSError: it cannot be read.
        InputError: it is not COCO format, or has no images.
    """
    images = read_coco(path, needed=('images',), filled=('images',)).images
    with coco_format(path):
        check_keys(path, 'image', images, 'height', 'width')
        for place, image in enumerate(images):
            refuse(path, 'image', place, [size_defect(image['height'], image['width'])])
        return [(int(image['height']), int(image['width'])) for image in images]


def network_sizes(cfg: Config, sizes: Iterable[Size]) -> dict[Size, tuple[Size, Size]]:
    """What becomes of images in a test: their size as resized, and as padded alone in a batch.

    Args:
        cfg: with `test_dataloader` and `model`; of its pipeline all runs, on blank images, but what reads and packs.
        sizes: of the images; each is looked at once.

    Returns:
        by size the resized and the padded one, both (height, width).

    Raises:
        InputError: the config has no test pipeline, or one that does not run on a blank image.
    """
    dataset = unwrapped((cfg.get('test_dataloader') or {}).get('dataset') or {})
    steps = [step for step in dataset.get('pipeline') or () if not str(step['type']).startswith(('Load', 'Pack'))]
    if not steps:
        raise InputError(f'config {cfg.filename}: no test pipeline that resizes images')
    pipeline = Compose(steps)
    divisor = (cfg.model.get('data_preprocessor') or {}).get('pad_size_divisor') or 1
    found = {}
    for size in dict.fromkeys(sizes):
        blank = {'img': np.zeros((*size, 3), np.uint8), 'img_shape': size, 'ori_shape': size}
        try:
            shape = pipeline(blank)['img_shape']
        except Exception as error:  # any transform of any project; some want annotations, or more than a line of pixels
            why = unusable(error, size)
            raise InputError(f'config {cfg.filename}: its test pipeline, on a blank image: {why}') from error
        height, width = int(shape[0]), int(shape[1])
        found[size] = (height, width), (ceil(height / divisor) * divisor, ceil(width / divisor) * divisor)
    return found
