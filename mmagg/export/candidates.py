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


def by_place(candidates: Candidates, classes: int, places: int) -> Candidates:
    """The same candidates, ordered by their places, and by their classes where those are equal; those of score 0 last.

    Args:
        candidates: in any order.
        classes: C.
        places: Q.
    """
    index = candidates.places * classes + candidates.labels
    key, order = torch.where(candidates.scores > 0, index, index + places * classes).sort(dim=1)
    index = key % (places * classes)
    return Candidates(candidates.scores.gather(1, order), index // classes, index % classes)


def best_pairs_by_level(scores: Sequence[Tensor], most: int) -> Candidates:
    """The pairs of the greatest scores of each level, level by level.

    Args:
        scores: (B, q, C) per level; of small images there may be fewer pairs than are wanted.
        most: pairs of each level.

    Returns:
        N = `most` times the number of levels.
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
    return Candidates(*(torch.cat(x, dim=1) for x in found))


def best(candidates: Candidates, number: int) -> tuple[Candidates, Tensor]:
    """The N' candidates of the greatest scores, and (B, N') where they were among the N."""
    values, index = candidates.scores.topk(number, dim=1)
    return Candidates(values, candidates.places.gather(1, index), candidates.labels.gather(1, index)), index
