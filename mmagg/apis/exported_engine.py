"""An exported model, as what a `Segmenter` computes with: neither PyTorch nor MMDetection is imported."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmagg.apis.exported_options import refuse_torch_options
from mmagg.apis.image_sources import ImageSource
from mmagg.io.errors import InputError
from mmagg.runtime.exported_model import ExportedModel
from mmagg.runtime.found import Found
from mmagg.runtime.preprocessing import Prepared

Ready = tuple[ImageSource, Prepared | InputError]
AHEAD = 2  # batches that a worker has ready


class ExportedCap(NamedTuple):
    """The most detections of an image, which the file says.

    Attributes:
        limit: their number.
        candidates: of an image, whose masks are computed.
    """

    limit: int
    candidates: int

    def raised(self, number: int | str) -> str:
        """The options that allow so many."""
        few = self.candidates <= (self.limit if isinstance(number, str) else number - 1)
        more = f'--candidates {number} ' if few else ''
        return f'exporting it again with {more}--cfg-options model.test_cfg.max_per_img={number}'

    def reached(self, count: int, images: int) -> str:
        """The line that says in how many images it was reached."""
        return (
            f'the cap of {self.limit} detections an image was reached in {count} of {images} images; '
            f'{self.raised("N")} raises it'
        )


class ExportedEngine:
    """Runs the file of an exported model.

    Args:
        model: the file.
        runtime: as of `ExportedModel`.

    Attributes:
        model: the `ExportedModel`.
        classes: the names of the classes, by label.

    Raises:
        InputError: the file cannot be used, or there is no runtime.
    """

    def __init__(self, model: str | Path, *, runtime: str | None = None) -> None:
        self.path = model
        self.model = ExportedModel(model, runtime=runtime)
        self.classes = self.model.classes

    def cap(self, *, tta: bool) -> ExportedCap:
        """The most detections of an image.

        Raises:
            InputError: views are wanted.
        """
        refuse_torch_options(self.path, {'tta': tta})
        candidates = self.model.description.candidates
        return ExportedCap(min(candidates, self.model.description.post_process.max_per_img), candidates)

    def found(
        self, images: Iterable[ImageSource], *, batch_size: int, workers: int, tta: bool, score_thr: float
    ) -> Iterator[tuple[ImageSource, Found | InputError]]:
        """Images with what is found in them, from `score_thr` on, or with what is wrong with them.

        Args:
            images: asked for when their batch is due; with workers up to two batches for each of them before.
            batch_size: images that go through the model at once.
            workers: threads that read and prepare images; 0: this one.
            tta: not for this engine.
            score_thr: less certain instances are left out.
        """
        refuse_torch_options(self.path, {'tta': tta})
        for batch in self._batches(images, batch_size=batch_size, workers=workers):
            found = iter(self.model.predict([image for _, image in batch if isinstance(image, Prepared)]))
            for source, image in batch:
                yield source, _confident(next(found), score_thr) if isinstance(image, Prepared) else image

    def predict(self, images: Iterable[ImageSource], *, batch_size: int, tta: bool) -> list[Found]:
        """All that the model finds.

        Raises:
            InputError: an image cannot be used.
        """
        every = []
        for _, found in self.found(images, batch_size=batch_size, workers=0, tta=tta, score_thr=0.0):
            if isinstance(found, InputError):
                raise found
            every.append(found)
        return every

    def _batches(self, images: Iterable[ImageSource], *, batch_size: int, workers: int) -> Iterator[list[Ready]]:
        """Batches of images that are prepared, in order."""
        waiting = iter(images)
        if workers == 0:
            while batch := [self._prepared(image) for image in islice(waiting, batch_size)]:
                yield batch
            return
        under_way: deque[Future[Ready]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            while True:
                due = AHEAD * workers * batch_size - len(under_way)
                under_way.extend(pool.submit(self._prepared, image) for image in islice(waiting, due))
                if not under_way:
                    return
                yield [under_way.popleft().result() for _ in range(min(batch_size, len(under_way)))]

    def _prepared(self, source: ImageSource) -> Ready:
        try:
            pixels = source.read()
        except InputError as error:
            return source, error
        try:
            return source, self.model.prepare(pixels)
        except InputError as error:
            return source, InputError(f'{source}: {error}')


def _confident(found: Found, score_thr: float) -> Found:
    at = np.flatnonzero(found.scores >= score_thr)
    return Found(found.size, found.boxes[at], found.scores[at], found.labels[at], tuple(found.rles[i] for i in at))
