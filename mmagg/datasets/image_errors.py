"""Errors of a data pipeline with the name of the image that it failed at."""

import os
from collections.abc import Iterator
from typing import Any

import cv2
from mmengine.dataset import BaseDataset, Compose

from mmagg.io.errors import EXPECTED, InputError, one_line
from mmagg.io.images import check_image_file, too_many_pixels

# A file is missing, broken or empty, or a transform, with the settings of the config, cannot be applied to it.
FAILURES = (*EXPECTED, RuntimeError, ArithmeticError, MemoryError, cv2.error)


class NamingPipeline(Compose):
    """A pipeline whose failures become an `InputError` that names the image."""

    def __call__(self, data: dict) -> dict | None:
        """Apply the transforms.

        Raises:
            InputError: the image cannot be read, or a transform cannot be applied to it.
        """
        path = data.get('img_path')
        try:
            if isinstance(path, str) and os.path.exists(path):  # and not in a storage
                check_image_file(path)
            return super().__call__(data)
        except InputError:
            raise
        except FAILURES as error:
            if reason := isinstance(path, str) and too_many_pixels(path):
                raise InputError(f'{path}: {reason}') from error
            raise InputError(f'{data.get("img_path", "an image")}: {unusable(error, data.get("ori_shape"))}') from error


def unusable(error: Exception, shape: tuple[int, int] | None = None) -> str:
    """What to say of an image after a failure; ``shape`` is its (height, width) where it could be read."""
    short = getattr(error, 'err', None)  # cv2.error's own text is long
    reason = f'OpenCV: {short}' if short else one_line(error)
    size, read = ('', 'read or ') if shape is None else (f'{shape[1]} × {shape[0]} pixels, ', '')
    return f'{size}cannot be {read}transformed ({reason})'


def name_images_in_errors(dataset: Any) -> None:
    """Let the pipelines of a data set, wrapped or joined from several, name the image that they fail at; in place."""
    for base in base_datasets(dataset):
        if type(base.pipeline) is Compose:
            base.pipeline = NamingPipeline(base.pipeline.transforms)


def base_datasets(dataset: Any) -> Iterator[BaseDataset]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    if isinstance(dataset, BaseDataset):
        yield dataset
    for inner in [*getattr(dataset, 'datasets', ()), *filter(None, [getattr(dataset, 'dataset', None)])]:
        yield from base_datasets(inner)
