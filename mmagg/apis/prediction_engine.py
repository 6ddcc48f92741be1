"""What a `Segmenter` needs of what computes for it."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from mmagg.apis.image_sources import ImageSource
from mmagg.io.errors import InputError
from mmagg.runtime.found import Found

Predicted = Iterator[tuple[ImageSource, Found | InputError]]


class Cap(Protocol):
    """The most detections of an image: `mmagg.engine.detection_cap` has that of a config."""

    @property
    def limit(self) -> int:
        """Their number."""

    def raised(self, number: int | str) -> str:
        """The way to so many, as the end of a sentence."""

    def reached(self, count: int, images: int) -> str:
        """The line that says in how many images it was reached."""


class Engine(Protocol):
    """What computes: `mmagg.apis.torch_engine` or `mmagg.apis.exported_engine`, which document the methods."""

    @property
    def model(self) -> Any:
        """The model itself."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label."""

    def cap(self, *, tta: bool) -> Cap | None:
        """The most detections of an image."""

    def found(
        self, images: Iterable[ImageSource], *, batch_size: int, workers: int, tta: bool, score_thr: float
    ) -> Predicted:
        """Images in order, with what is found in them."""

    def predict(self, images: Iterable[ImageSource], *, batch_size: int, tta: bool) -> list[Any]:
        """All that is found, as the model has it."""
