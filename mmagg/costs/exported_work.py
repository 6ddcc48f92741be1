"""Time by stage and memory of an exported model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mmagg.costs.resident import growth
from mmagg.io.errors import InputError
from mmagg.runtime.exported_model import ExportedModel
from mmagg.runtime.preprocessing import prepared
from mmagg.runtime.sessions import Session

STAGES = ('preprocess', 'network', 'post-process')
SUMS = {'total': STAGES}


class ExportedWork:
    """An exported model and an image.

    Args:
        path: of the file.
        image: (H, W, 3) uint8 BGR, of the size that the network is to see.
        runtime: as of `ExportedModel`, as `threads`.
        threads: number of them.

    Attributes:
        entry: what the report says of the model.

    Raises:
        InputError: the file cannot be used, or not for images of this size.
    """

    sums: Mapping[str, Sequence[str]] = SUMS

    def __init__(self, path: str | Path, image: np.ndarray, *, runtime: str | None, threads: int | None) -> None:
        self.model = ExportedModel(path, runtime=runtime, threads=threads)
        self.model.session = self.timed = _TimedSession(self.model.session)
        described, self.image = self.model.description, image
        height, width = image.shape[:2]
        if described.shape is not None and tuple(described.shape) != (height, width):
            raise InputError(f'--shape {height} {width}: {path} takes {" ".join(map(str, described.shape))} alone')
        self._described = replace(described, scale=(width, height), keep_ratio=False)  # the size stays
        self.entry: dict[str, Any] = {
            'config': str(path),
            'layout': self.model.runtime,
            'candidates': described.candidates,
        }

    def memory(self) -> dict[str, float]:
        """Bytes by which the process grows with the first image."""
        grown = growth(self.time)
        return {} if grown is None else {'process': grown}

    def time(self) -> dict[str, float]:
        """Seconds of the `STAGES`; the number of instances goes into the entry."""
        start = perf_counter()
        ready = prepared(self.image, self._described)
        begun = perf_counter()
        (found,) = self.model.predict([ready])
        end = perf_counter()
        self.entry['instances'] = len(found.labels)
        network = self.timed.seconds
        return dict(zip(STAGES, (begun - start, network, end - begun - network), strict=True))


class _TimedSession:
    """A `Session` that keeps the seconds of its last run."""

    def __init__(self, session: Session) -> None:
        self._session, self.seconds = session, 0.0
        self.runtime, self.dtype, self.batch, self.outputs = (
            session.runtime,
            session.dtype,
            session.batch,
            session.outputs,
        )

    def run(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """As of `Session`."""
        start = perf_counter()
        outputs = self._session.run(images, sizes)
        self.seconds = perf_counter() - start
        return outputs
