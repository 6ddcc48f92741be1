"""The interface of mask codecs (MEInst, Sec. 3.2), and the logits of a mask that they encode.

Shape shorthand: N masks, m mask size, D length of a code.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from math import log
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SIGMOIDS = ('constant', 'random', 'none')
NOISE, LEAST = 0.05, 0.01  # the release's eps is max(NOISE · U(0, 1), LEAST), drawn for each pixel
# The logit of this constant is the mean logit of the release's draws: dictionaries fitted with either agree.
EPS = 0.02255
PACKED = 100  # how many times its own size an .npz may unpack to


def mask_logits(
    masks: Tensor, *, sigmoid: str, noise: Tensor | None = None, dtype: torch.dtype = torch.float
) -> Tensor:
    """The mask's logits that a codec encodes: logit(1 - eps) inside and logit(eps) outside.

    Args:
        masks: (N, m, m) or (N, m²) in {0, 1}, of any type.
        sigmoid: 'constant' for a fixed eps; 'random' for the release's, drawn for each pixel; 'none' for the masks
            themselves.
        noise: the draws of 'random', uniform in [0, 1), of the masks' shape; None: from PyTorch's generator.
        dtype: of the result.

    Returns:
        (N, m²).
    """
    inside = (masks.flatten(1) > 0.5).to(dtype)
    if sigmoid == 'none':
        return inside
    if sigmoid == 'constant':
        return (2 * inside - 1) * log((1 - EPS) / EPS)
    noise = torch.rand_like(inside) if noise is None else noise.flatten(1).to(dtype)
    eps = (NOISE * noise).clamp(min=LEAST)
    return (2 * inside - 1) * ((1 - eps) / eps).log()


def full_precision(x: Tensor) -> AbstractContextManager:
    """A context without autocast on the device of x (the meta device has no autocast)."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class MaskCodec(nn.Module, ABC):
    """Encodes masks as short vectors, and decodes these.

    Its content, fitted to masks beforehand, is frozen and part of the state dict. Until it is there, from a dictionary
    file or a checkpoint, the codec refuses to work. A codec without content has `encode` and `decode` alone.

    Args:
        mask_size: m.
        num_codes: D, at most m².
        dictionary: file of tools/analysis/fit_mask_codec.py; if it does not exist, a checkpoint must have the content.

    Attributes:
        fitted: whether the content is there; a Python bool, since a look into buffers would wait for the GPU.

    Raises:
        ValueError: D is not in 1 to m².
    """

    evidence: str | None = None  # name of the buffer that is zero until the content is there; None: there is none

    def __init__(self, *, mask_size: int, num_codes: int, dictionary: str | Path | None = None) -> None:
        super().__init__()
        if not 1 <= num_codes <= mask_size**2:
            raise ValueError(
                f'{type(self).__name__}: num_codes is {num_codes}; of {mask_size} x {mask_size} pixels '
                f'there are 1 to {mask_size**2}'
            )
        self.mask_size, self.num_codes, self.dictionary = mask_size, num_codes, dictionary
        self.fitted = self.evidence is None

    @abstractmethod
    def encode(self, masks: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, m, m) masks in {0, 1}, of any type, and (N,) classes -> (N, D) float32, also under autocast."""

    @abstractmethod
    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, D) codes and (N,) classes -> (N, m, m) logits, float32, also under autocast."""

    def read(self, path: Path) -> None:
        """Take the content of a dictionary file.

        Raises:
            ValueError: another kind of file, or other sizes.
        """
        raise ValueError(f'{type(self).__name__}: reads no dictionary; leave {path} out')

    def assume(self) -> None:
        """Take made-up content, for counting and measuring without a file."""

    def read_if_there(self) -> None:
        """Take the content of `dictionary` if the file exists; constructors of subclasses end with this."""
        if self.dictionary is not None and Path(self.dictionary).exists():
            self.read(Path(self.dictionary))

    def missing_content(self, folder: str = 'DIR') -> str | None:
        """A line that says how to make the content from the masks of a folder, where there is none.

        On the meta device, where FLOPs are counted, none is needed.
        """
        if self.fitted or self.evidence is None or self.get_buffer(self.evidence).is_meta:
            return None
        kind = type(self).__name__
        missing = 'no `dictionary` is given' if self.dictionary is None else f'{self.dictionary} is missing'
        return (
            f'{kind}: {missing} and no checkpoint has been loaded; make one with mmagg fit-mask-codec --coco {folder} '
            f'--codec {kind.removesuffix("MaskCodec").lower()} --size {self.mask_size} --dims {self.num_codes} '
            f'--out {self.dictionary or "FILE.npz"}'
        )

    def require_content(self) -> None:
        """Raises ValueError with the line of `missing_content`, if there is one."""
        if line := self.missing_content():
            raise ValueError(line)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        given = None if self.evidence is None else state_dict.get(prefix + self.evidence)
        if given is not None and not given.is_meta:
            self.fitted = bool(given.any())


def assume_dictionaries(model: nn.Module) -> None:
    """Give a model's codecs without content a made-up one, for counting and measuring."""
    for codec in model.modules():
        if isinstance(codec, MaskCodec) and not codec.fitted:
            codec.assume()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz.

    Raises:
        ValueError: it is no such file.
    """
    if path.exists() and not path.is_file():  # a pipe keeps its reader waiting
        raise ValueError(f'{path}: is no ordinary file')
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > PACKED * path.stat().st_size:
                raise ValueError('its arrays are far larger than the file')
            return dict(file)
    except OSError:
        raise
    except Exception as error:  # a damaged file can mean anything
        raise ValueError(f'{path}: no .npz of arrays ({" ".join(str(error).split())})') from error
