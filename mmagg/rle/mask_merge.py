"""Pieces of objects from overlapping tiles: which belong together, and the mask of each object.

Greedy non-maximum merging: from the best piece on, each gathers what it matches, and what these match. Two pieces match
by what both of their tiles saw, R, the rectangle that the tiles share:

    cut    |A ∩ B| / min(|A ∩ R|, |B ∩ R|)    where A or B ends at a border of its tile beyond which the other one saw
    whole  |A ∩ B| / |A ∪ B|                  otherwise

An object longer than the overlap is cut in both tiles, and its pieces share only R: measured on the whole pieces
(|A ∩ B| / min(|A|, |B|), as SAHI does) the longer they are, the less they match. What both saw whole matches only what
is alike: a blob over several objects, as a squeezed image may show them, does not gather them.

Objects that touch each other stay apart: a piece belongs to at most one piece of another tile, the one that it lies in
most, and a piece whose mere rim reaches into R does not match one that has more there.

What one tile saw whole is the object's mask. Where none did, it is the best piece, and beyond that one's tile what the
others add: the union of all would be that of their errors.

Shape shorthand: N pieces of all T tiles, P pairs of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mmagg.rle.codes import rle_area, rle_boxes
from mmagg.rle.columns import stretches_of, stretches_to_rle

SLACK = 8  # pixels from a tile's border within which a mask counts as cut by it: masks are upsampled, ends are coarse
PAIRS = 2**20  # pairs of boxes looked at together


class MergedObject(NamedTuple):
    """An object.

    Attributes:
        members: its pieces, the best one first.
        kept: the piece whose mask is the object's; None where it is made of several.
        mask: RLE, `{'size': [H, W], 'counts': …}`.
    """

    members: list[int]
    kept: int | None
    mask: dict


def merge_pieces(
    rles: Sequence[dict],
    scores: np.ndarray,
    labels: np.ndarray,
    tiles: np.ndarray,
    rectangles: np.ndarray,
    *,
    threshold: float = 0.5,
    class_agnostic: bool = False,
) -> list[MergedObject]:
    """Merge the pieces of objects.

    Args:
        rles: N compressed masks in the frame of the whole image, none with a pixel outside its tile.
        scores: (N,).
        labels: (N,) classes; only pieces of one class belong together.
        tiles: (N,) index of the tile that each piece is from. Pieces of one tile are never compared.
        rectangles: (T, 4) x1, y1, x2, y2 of the tiles, integers. One may be the whole image: what that shows is merged
            with the objects of the others, not with their pieces, of which a blob would join all that it covers.
        threshold: least measure of pieces that match, in (0, 1].
        class_agnostic: let pieces of all classes belong together.

    Returns:
        The objects, by descending score of their best pieces. The order of tiles and pieces does not matter.
    """
    tiles, scores = np.asarray(tiles), np.asarray(scores)
    classes = np.zeros_like(tiles) if class_agnostic else np.asarray(labels)
    where = np.asarray(rectangles, np.int64)[tiles]  # (N, 4)
    squeezed = np.zeros(0, bool) if len(rles) == 0 else (where == (0, 0, *rles[0]['size'][::-1])).all(1)
    if squeezed.all() or not squeezed.any():
        return _objects(rles, scores, classes, tiles, where, threshold)
    (in_tiles,), (in_all,) = np.nonzero(~squeezed), np.nonzero(squeezed)
    found = [
        MergedObject([int(part[i]) for i in one.members], None if one.kept is None else int(part[one.kept]), one.mask)
        for part in (in_tiles, in_all)
        for one in _objects([rles[i] for i in part], scores[part], classes[part], tiles[part], where[part], threshold)
    ]
    # What tiles show is one tile now, as wide as those of an object's pieces.
    best = [one.members[0] for one in found]
    around = [where[one.members if one.kept is None else [one.kept]] for one in found]
    again = _objects(
        [one.mask for one in found],
        scores[best],
        classes[best],
        squeezed[best],
        np.array([[*one[:, :2].min(0), *one[:, 2:].max(0)] for one in around]),
        threshold,
    )
    return [
        MergedObject(
            [piece for i in one.members for piece in found[i].members],
            None if one.kept is None else found[one.kept].kept,
            one.mask,
        )
        for one in again
    ]


def _objects(
    rles: Sequence[dict],
    scores: np.ndarray,
    classes: np.ndarray,
    tiles: np.ndarray,
    rectangles: np.ndarray,
    threshold: float,
) -> list[MergedObject]:
    """Merge pieces as of `merge_pieces`; ``rectangles``, (N, 4), are those of the pieces' tiles."""
    if len(rles) == 0:
        return []
    areas = np.array([rle_area(rle) for rle in rles], np.int64)  # pycocotools 2.0.11 fails at more than 255 of them
    boxes = rle_boxes(rles).astype(np.int64)
    boxes[:, 2:] += boxes[:, :2]
    order = np.lexsort((*rectangles.T, *boxes.T, -areas, -scores))
    rank = np.argsort(order)
    pairs = _pairs_that_meet(boxes, classes, tiles)
    shared = _intersections(rles, pairs, areas)
    pairs, shared = pairs[shared > 0], shared[shared > 0]
    measure, seen = _measures(rles, pairs, shared, areas, boxes, rectangles)
    pairs = pairs[_best_of_the_smaller(pairs, measure, seen, tiles, rank) & (measure >= threshold)]
    whole = ~_at_borders(boxes, rectangles, (0, 0, *rles[0]['size'][::-1]))
    groups = _gathered(pairs, order, rank, tiles, whole)
    sizes = (rectangles[:, 2] - rectangles[:, 0]) * (rectangles[:, 3] - rectangles[:, 1])
    preferred = np.stack([sizes, rank], axis=1).tolist()
    return [_merged(rles, group, scores, areas, whole, preferred, rectangles) for group in groups]


def _pairs_that_meet(boxes: np.ndarray, classes: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """(P, 2) pieces of one class and two tiles whose boxes overlap; a sweep from left to right."""
    order = np.argsort(boxes[:, 0], kind='stable')
    x1, y1, x2, y2 = boxes[order].T
    classes, tiles = classes[order], tiles[order]
    first = np.arange(1, len(order) + 1)
    counts = np.maximum(np.searchsorted(x1, x2), first) - first  # those that begin before this one ends
    found = [np.zeros((0, 2), np.int64)]
    for start, stop in _blocks(counts):
        a = np.repeat(np.arange(start, stop), counts[start:stop])
        within = np.arange(len(a)) - np.repeat(np.cumsum(counts[start:stop]) - counts[start:stop], counts[start:stop])
        b = a + 1 + within
        meet = (y1[a] < y2[b]) & (y1[b] < y2[a]) & (classes[a] == classes[b]) & (tiles[a] != tiles[b])
        found.append(np.stack([order[a[meet]], order[b[meet]]], axis=1))
    return np.concatenate(found)


def _blocks(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of pieces with about `PAIRS` pairs each."""
    block = np.cumsum(counts) // PAIRS
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(counts)]
    yield from pairwise(edges)


def _intersections(rles: Sequence[dict], pairs: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(P,) pixels that both of a pair have; with a crowd region, COCO's IoU is their share of the first."""
    from pycocotools import mask as coco_mask

    shared = np.zeros(len(pairs), np.int64)
    order = np.argsort(pairs[:, 0], kind='stable')
    for part in np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1) if len(pairs) else ():
        first = pairs[part[0], 0]
        share = coco_mask.iou([rles[first]], [rles[i] for i in pairs[part, 1]], [1] * len(part))
        shared[part] = np.rint(share[0] * areas[first])
    return shared


def _measures(
    rles: Sequence[dict],
    pairs: np.ndarray,
    shared: np.ndarray,
    areas: np.ndarray,
    boxes: np.ndarray,
    rectangles: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(P,) the measure of each pair, and (P, 2) the pixels of each within what both tiles saw."""
    both = rectangles[pairs]  # (P, 2, 4)
    region = np.concatenate([both[:, :, :2].max(1), both[:, :, 2:].min(1)], axis=1)  # (P, 4)
    seen, around = areas[pairs], boxes[pairs]  # (P, 2), (P, 2, 4)
    inside = (around[..., :2] >= region[:, None, :2]).all(-1) & (around[..., 2:] <= region[:, None, 2:]).all(-1)
    known = {piece: stretches_of(rles[piece]) for piece in np.unique(pairs[~inside]).tolist()}
    for pair, side in np.argwhere(~inside).tolist():
        part = known[int(pairs[pair, side])].within(region[pair])
        seen[pair, side], around[pair, side] = part.area(), part.box()
    cut = np.zeros(len(pairs), bool)
    for side in (0, 1):
        cut |= _at_borders(around[:, side], both[:, side], both[:, 1 - side].T)
    thin = (around[..., 2:] - around[..., :2]).min(-1) <= SLACK  # (P, 2)
    other_object = (thin & ~inside & ~thin[:, ::-1]).any(1)
    of_cut = np.where(other_object, 0, shared / np.minimum(*seen.T))
    return np.where(cut, of_cut, shared / (areas[pairs].sum(1) - shared)), seen


def _at_borders(boxes: np.ndarray, rectangles: np.ndarray, beyond: Sequence) -> np.ndarray:
    """(n,) whether boxes reach a border of their rectangles on whose other side there is more of ``beyond``.

    Args:
        boxes: (n, 4).
        rectangles: (n, 4).
        beyond: x1, y1, x2, y2 of what there is, one each or (n,).
    """
    low = (boxes[:, :2] <= rectangles[:, :2] + SLACK) & (rectangles[:, :2] > np.stack(beyond[:2], axis=-1))
    high = (boxes[:, 2:] >= rectangles[:, 2:] - SLACK) & (rectangles[:, 2:] < np.stack(beyond[2:], axis=-1))
    return np.logical_or.reduce(low | high, axis=1)


def _best_of_the_smaller(
    pairs: np.ndarray, measure: np.ndarray, seen: np.ndarray, tiles: np.ndarray, rank: np.ndarray
) -> np.ndarray:
    """(P,) whether the smaller one of a pair matches none better in the other's tile."""
    of_first = (seen[:, 0] < seen[:, 1]) | ((seen[:, 0] == seen[:, 1]) & (rank[pairs[:, 0]] > rank[pairs[:, 1]]))
    smaller, larger = np.where(of_first[:, None], pairs, pairs[:, ::-1]).T
    order = np.lexsort((rank[larger], -measure, tiles[larger], smaller))
    first = np.ones(len(pairs), bool)
    first[1:] = (np.diff(smaller[order]) != 0) | (np.diff(tiles[larger][order]) != 0)
    best = np.zeros(len(pairs), bool)
    best[order[first]] = True
    return best


def _gathered(
    pairs: np.ndarray, order: np.ndarray, rank: np.ndarray, tiles: np.ndarray, whole: np.ndarray
) -> list[list[int]]:
    """Groups of pieces, from the best piece on; none has two pieces that one tile saw whole, which are two objects."""
    neighbours = defaultdict[int, list[int]](list)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    for piece, other in both[np.lexsort((rank[both[:, 1]], both[:, 0]))].tolist():
        neighbours[piece].append(other)
    taken = np.zeros(len(order), bool)
    groups = []
    for seed in order.tolist():
        if taken[seed]:
            continue
        taken[seed] = True
        group, saw_whole = [seed], {tiles[seed]} if whole[seed] else set()
        for member in group:  # which grows
            for other in neighbours[member]:
                if not taken[other] and not (whole[other] and tiles[other] in saw_whole):
                    taken[other] = True
                    group.append(other)
                    if whole[other]:
                        saw_whole.add(tiles[other])
        groups.append(group)
    return groups


def _merged(
    rles: Sequence[dict],
    group: list[int],
    scores: np.ndarray,
    areas: np.ndarray,
    whole: np.ndarray,
    preferred: Sequence[list[int]],
    rectangles: np.ndarray,
) -> MergedObject:
    """The object of a group.

    Of pieces that are whole, the most ``preferred`` one counts, that of the smallest tile: a squeezed image shows less.
    One of less than half of the best score, or of the area, is a part that its tile took for an object.
    """
    if len(group) == 1:
        return MergedObject(group, group[0], rles[group[0]])
    group = sorted(group, key=lambda i: preferred[i][1])
    grown = _grown([rles[i] for i in group], rectangles[group])
    least_score, least_area = scores[group[0]] / 2, rle_area(grown) / 2
    sound = [i for i in group if whole[i] and scores[i] >= least_score and areas[i] >= least_area]
    kept = min(sound, key=lambda i: preferred[i], default=group[0] if grown is rles[group[0]] else None)
    return MergedObject(group, kept, grown if kept is None else rles[kept])


def _grown(rles: Sequence[dict], rectangles: np.ndarray) -> dict:
    """The first mask, and of each later one what lies outside the tiles of those before it."""
    from pycocotools import mask as coco_mask

    parts = [rles[0]]
    for i in range(1, len(rles)):
        outside = stretches_of(rles[i])
        for rectangle in rectangles[:i]:
            outside = outside.without(rectangle)
        if len(outside.column):
            parts.append(stretches_to_rle(outside, rles[0]['size']))
    if len(parts) == 1:
        return rles[0]
    return {'size': list(rles[0]['size']), 'counts': coco_mask.merge(parts)['counts'].decode()}
