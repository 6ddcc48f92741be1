"""The rows of a model's last layers that belong to one class each, and those of another checkpoint by the class's name.

Which layers these are is read from the model's shapes with one class more, not from a list of heads: their first
dimension grows. Rows are the classes', in their order, then what is no class, as the background of mmdet's ``fc_cls``.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Several rows a class are together in mmdet's box regression; elsewhere, as with several anchors, they are not.
TOGETHER = re.compile(r'\bfc_reg\.')
BACKGROUND_FIRST = re.compile(r'\bsemantic\.conv_logits\.')  # of BlendMask's auxiliary head


@dataclass(frozen=True)
class ClassRows:
    """The rows of a weight's first dimension.

    Attributes:
        each: rows of a class.
        before: rows before those of the classes.
        after: rows after them.
        named: rows of a class are together, so that they can be told by its name.
    """

    each: int
    before: int
    after: int
    named: bool

    def number(self, rows: int) -> int | None:
        """The number of classes of a weight with so many rows; None if there is no such number."""
        classes, rest = divmod(rows - self.before - self.after, self.each)
        return classes if rest == 0 and classes >= 0 else None


def class_rows(sizes: Mapping[str, torch.Size], more: Mapping[str, torch.Size], classes: int) -> dict[str, ClassRows]:
    """The weights that have rows for each class.

    Args:
        sizes: the shapes of a model's weights, by key.
        more: those of the same model with one class more.
        classes: how many it has.
    """
    found = {}
    for key in sizes.keys() & more.keys():
        size, larger = sizes[key], more[key]
        if size == larger or len(size) != len(larger) or size[1:] != larger[1:]:
            continue
        each = larger[0] - size[0]
        others = size[0] - each * classes
        first = BACKGROUND_FIRST.search(key) is not None
        named = each == 1 or TOGETHER.search(key) is not None
        found[key] = ClassRows(each, others if first else 0, 0 if first else others, named and others >= 0)
    return found


def same_classes(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Our labels with theirs, for the classes of the same name; case, ``_`` and ``-`` do not matter.

    Where several of theirs differ in these alone, the one that is spelt as ours is the same, else the first.
    """
    exact = {name: label for label, name in enumerate(theirs)}
    there = {_plain(name): label for label, name in reversed([*enumerate(theirs)])}
    return {label: exact.get(name, there[_plain(name)]) for label, name in enumerate(ours) if _plain(name) in there}


def by_name(rows: ClassRows, ours: Tensor, theirs: Tensor, pairs: Mapping[int, int]) -> Tensor:
    """A copy of our weight with their rows for `pairs` of labels, and for what is no class.

    Args:
        rows: as of `class_rows`.
        ours: (R, …), with the number of classes of the model.
        theirs: (R', …), with that of the checkpoint, and otherwise of the same shape.
        pairs: our labels with theirs.
    """
    made, each = ours.clone(), rows.each
    theirs = theirs.to(ours)
    for count, start_here, start_there in (
        (rows.before, 0, 0),
        (rows.after, len(ours) - rows.after, len(theirs) - rows.after),
    ):
        made[start_here : start_here + count] = theirs[start_there : start_there + count]
    if pairs:
        here, there = (
            torch.tensor(labels)[:, None] * each + torch.arange(each) + rows.before
            for labels in zip(*pairs.items(), strict=True)
        )
        made[here.flatten().to(made.device)] = theirs[there.flatten().to(made.device)]
    return made


def parts(keys: Collection[str]) -> list[str]:
    """The modules of weights, each once."""
    return sorted({key.rpartition('.')[0] for key in keys})


def _plain(name: str) -> str:
    name = unicodedata.normalize('NFC', name)  # keyboards of macOS may write an umlaut as two characters
    return re.sub(r'[\s_-]+', ' ', name).strip().casefold()
