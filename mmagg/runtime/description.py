"""The description of an exported model in its file: classes, sizes and settings, as JSON in the metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmagg import __version__
from mmagg.io.errors import InputError, one_line
from mmagg.runtime.boxed_post_processor import BoxedPostProcessor
from mmagg.runtime.grid_post_processor import GridPostProcessor

FORMAT = 1  # of the description; it grows when an older reader would misread it
KEY = 'mmagg'  # in the file's metadata
AGAIN = 'mmagg export CONFIG CHECKPOINT --out FILE.onnx writes it'
IMAGENET = (103.53, 116.28, 123.675)
BACKENDS = 'cv2', 'pillow'  # of mmcv's `imresize`


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a reader of an exported model needs to know.

    Attributes:
        version: mmagg's that wrote the file.
        family: 'grid', whose masks are at map size, or 'boxed', whose masks are in the frames of boxes.
        classes: names by label.
        colours: RGB by label; None if the model has none of its own.
        config: name of the config.
        scale: of the test pipeline's resizing, two sides in pixels; with `keep_ratio` the longest and the shortest
            side, in any order, else width and height.
        keep_ratio: whether the resized image keeps its ratio of sides.
        backend: of `BACKENDS`, by which the image is resized: with the other, pixels differ.
        shape: (height, width) of the input, where it takes no other; the image is resized to fit into it, and padded.
        mean: BGR of the padding, which is 0 after the normalisation.
        divisor: of the padded sides in the graph.
        mask_stride: of the masks in the padded image, for the grid family.
        candidates: number of them.
        test_cfg: arguments of the family's post-processor.
    """

    family: str
    classes: tuple[str, ...]
    scale: tuple[int, int]
    test_cfg: Mapping[str, Any]
    keep_ratio: bool = True
    backend: str = 'cv2'
    shape: tuple[int, int] | None = None
    mean: tuple[float, float, float] = IMAGENET
    colours: tuple[tuple[int, int, int], ...] | None = None
    config: str = ''
    divisor: int = 32
    mask_stride: int = 4
    candidates: int = 0
    version: str = field(default=__version__)

    def __post_init__(self) -> None:
        """Refuse what no model can be described by.

        Raises:
            TypeError: a value of a wrong type.
            ValueError: a value out of its range.
        """
        if self.family not in POST_PROCESSORS:
            raise ValueError(f'family {self.family!r}')
        POST_PROCESSORS[self.family](**self.test_cfg)
        if self.backend not in BACKENDS:
            raise ValueError(f'images are resized by {self.backend!r}')
        sides = (*self.scale, *(self.shape or ()), self.divisor, self.mask_stride)
        if len(self.scale) != 2 or (self.shape is not None and len(self.shape) != 2) or min(sides) < 1:
            raise ValueError('sizes are two sides of at least a pixel')
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise ValueError('classes are names')
        if len(self.mean) != 3:
            raise ValueError('a mean of three channels')

    @property
    def post_process(self) -> GridPostProcessor | BoxedPostProcessor:
        """The family's post-processor with the settings of the file."""
        return POST_PROCESSORS[self.family](**self.test_cfg)

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        content = asdict(self) | {'test_cfg': dict(self.test_cfg)}
        resize = {key: content.pop(key) for key in ('scale', 'keep_ratio', 'backend')}
        return json.dumps({'format': FORMAT, **content, 'resize': resize})

    @classmethod
    def from_json(cls, text: str, path: Path) -> 'Description':
        """The description in a file.

        Args:
            text: the metadata under `KEY`.
            path: of the file, for messages.

        Raises:
            InputError: it is no description, or one of a newer mmagg.
        """
        try:
            content = json.loads(text)
            number, version = int(content['format']), str(content['version'])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(f'{path}: the description of the model is corrupt: {AGAIN} anew') from error
        if number > FORMAT:
            raise InputError(
                f'{path}: written by mmagg {version}, in a newer format than mmagg {__version__} knows: pip install -U '
                'mmagg, or export it again with this one'
            )
        if content.get('family') == 'neck':
            raise InputError(
                f'{path}: the backbone and neck alone, which predict nothing: export it without --part neck'
            )
        try:
            return cls(
                family=content['family'],
                classes=tuple(content['classes']),
                scale=_sides(content['resize']['scale']),
                keep_ratio=bool(content['resize']['keep_ratio']),
                backend=str(content['resize'].get('backend', 'cv2')),
                shape=None if content.get('shape') is None else _sides(content['shape']),
                mean=tuple(map(float, content.get('mean', IMAGENET))),  # type: ignore[arg-type]
                colours=None if content.get('colours') is None else tuple(map(_colour, content['colours'])),
                config=str(content['config']),
                divisor=int(content['divisor']),
                mask_stride=int(content.get('mask_stride') or 4),
                candidates=int(content['candidates']),
                test_cfg=content['test_cfg'],
                version=version,
            )
        except KeyError as error:
            raise InputError(f'{path}: the description of the model has no {error}: {AGAIN} anew') from error
        except (ValueError, TypeError, OverflowError) as error:
            line = one_line(error)
            raise InputError(f'{path}: the description of the model is corrupt ({line}): {AGAIN} anew') from error


POST_PROCESSORS: Mapping[str, type[GridPostProcessor] | type[BoxedPostProcessor]] = {
    'grid': GridPostProcessor,
    'boxed': BoxedPostProcessor,
}


def part_to_json(part: str) -> str:
    """The description of a file that holds a part of a model, which predicts nothing."""
    return json.dumps({'format': FORMAT, 'version': __version__, 'family': part})


def described(metadata: Mapping[str, str], path: Path) -> Description:
    """The description in the metadata of a file.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    if KEY not in metadata:
        raise InputError(f'{path}: an ONNX file that mmagg has not written, without classes and settings: {AGAIN}')
    return Description.from_json(metadata[KEY], path)


def _sides(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = values
    return int(red), int(green), int(blue)
