"""A data set to read: where it lies, and its images, which are found first and read one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmagg.datasets.annotation_exports import find_images
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.io.errors import InputError

Size = tuple[int, int]
"""(H, W) in pixels."""


def text_lines(path: Path) -> list[str]:
    """The lines of a text file, without the mark that editors of Windows put before the first one.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: not UTF-8; save it as that') from error


@dataclass(frozen=True)
class SourceImage:
    """An image that is not read yet.

    Attributes:
        file: of the image; of one that lies in its annotations, the path that it might have.
        part: 'train', 'val' or 'test'; '' where the source does not say.
        read: its instances, from the size of the image as it is read, and a list for what is left out. Raises whatever
            annotations raise that are not as the format has them.
        embedded: the bytes of an image that lies in its annotations; None for a file.
    """

    file: Path
    part: str
    read: Callable[[Size, list[str]], AnnotatedImage]
    embedded: Callable[[], bytes] | None = None

    def content(self) -> bytes:
        """The bytes of the image."""
        return self.file.read_bytes() if self.embedded is None else self.embedded()


@dataclass(frozen=True)
class Source:
    """Where a data set lies.

    Attributes:
        path: folder, or annotation file.
        image_dir: folder of its images, where that is elsewhere.
        without: a folder that is not searched, as it is written.
        said: lines on what is left out, which readers add to.
    """

    path: Path
    image_dir: Path | None = None
    without: Path | None = None
    said: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder, or that of the annotation file."""
        return self.path if self.path.is_dir() else self.path.parent

    def files(self, names: Sequence[str], folder: Path | None = None) -> list[Path | None]:
        """The files of images by the names that annotations have for them; those without one are said.

        Args:
            names: paths, of which the end counts.
            folder: where they lie; None: in the source's folder.

        Raises:
            InputError: several files fit a name, or two names have the same file.
        """
        folder = self.image_dir or folder or self.folder
        files = find_images(names, folder, without=self.without).files
        self.said.extend(
            [f'{name}: no such image in {folder}' for name, file in zip(names, files, strict=True) if not file]
        )
        return files

    def glob(self, pattern: str, folder: Path | None = None) -> list[Path]:
        """Files below the folder, or another one, in order, without hidden ones and those of what is not searched."""
        top = folder or self.folder
        found = sorted(path for path in top.rglob(pattern) if path.is_file())
        shown = (p for p in found if not any(x.startswith('.') for x in p.relative_to(top).parts))
        return [path for path in shown if self.without is None or not path.resolve().is_relative_to(self.without)]
