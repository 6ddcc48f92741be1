"""The best candidates of a head, always of the same number.

Shape shorthand: B images, Q cells or locations over all levels, C classes, N candidates, q locations of a level.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Candidates(NamedTuple):
    """Pairs of a place and a class, in descending order of their scores unless it is said otherwise."""

    scores: Tensor
    """(B, N); 0 where there are fewer."""
    places: Tensor
    """(B, N) long, cells or locations counted over all levels."""
    labels: Tensor
    """(B, N) long, classes."""


def best_pairs(scores: Tensor, number: int) -> Candidates:
    """The N pairs of the greatest scores (B, Q, C)."""
    classes = scores.shape[2]
    values, index = scores.flatten(1).topk(number, dim=1)
    return Candidates(values, index // classes, index % classes)


def by_place(candidates: Candidates, classes: int) -> Candidates:
    """The same candidates, ordered by their places, and by their classes where those are equal."""
    index, order = (candidates.places * classes + candidates.labels).sort(dim=1)
    return Candidates(candidates.scores.gather(1, order), index // classes, index % classes)


def best_pairs_by_level(scores: Sequence[Tensor], most: int, number: int) -> Candidates:
    """The N pairs of the greatest scores among the best of each level.

    Args:
        scores: (B, q, C) per level; of small images there may be fewer pairs than are wanted.
        most: pairs of each level.
        number: N, at most `most` times the number of levels.
    """
    found: list[list[Tensor]] = [[], [], []]
    before = 0
    for level in scores:
        places = level.shape[1]
        # Zeros behind the pairs there are, so that there are always enough.
        best = best_pairs(F.pad(level, (0, 0, 0, most)), most)
        parts = best.scores, best.places.clamp(max=places - 1) + before, best.labels
        for whole, part in zip(found, parts, strict=True):
            whole.append(part)
        before = before + places
    values, where, labels = (torch.cat(x, dim=1) for x in found)
    values, index = values.topk(number, dim=1)
    return Candidates(values, where.gather(1, index), labels.gather(1, index))
