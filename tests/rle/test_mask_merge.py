"""Merging of pieces from tiles: against dense masks, and what must hold of it."""

import cv2
import numpy as np
import pytest

from mmagg.rle.codes import decode_mask, masks_to_rle
from mmagg.rle.mask_merge import SLACK, merge_pieces

SIZE = 120
TILES = np.array([[x, y, x + 60, y + 60] for y in (0, 40, 60) for x in (0, 40, 60)] + [[0, 0, SIZE, SIZE]])


def dense_merge(masks, scores, labels, tiles, rectangles):
    """The same by the definitions, on whole images; pieces and the mask of each object."""
    where = rectangles[tiles]
    all_of_it = (where == (0, 0, SIZE, SIZE)).all(1)
    found = []
    for part in (np.flatnonzero(~all_of_it), np.flatnonzero(all_of_it)):
        for group, kept, mask in dense_objects(masks[part], scores[part], labels[part], tiles[part], where[part]):
            members = part[group].tolist()
            of_tiles = where[members] if kept is None else where[[part[kept]]]
            found.append((members, mask, [*of_tiles[:, :2].min(0), *of_tiles[:, 2:].max(0)]))
    best = [members[0] for members, _, _ in found]
    again = dense_objects(
        np.array([mask for _, mask, _ in found]),
        scores[best],
        labels[best],
        all_of_it[best],
        np.array([around for _, _, around in found]),
    )
    return [([piece for i in group for piece in found[i][0]], mask) for group, _, mask in again]


def dense_objects(masks, scores, labels, tiles, where, threshold=0.5):
    """Pair by pair: pieces, the one whose mask counts, and the mask of each object."""
    order = sorted(range(len(masks)), key=lambda i: -scores[i])
    rank = {piece: place for place, piece in enumerate(order)}

    def window(rectangle):
        dense = np.zeros((SIZE, SIZE), bool)
        dense[rectangle[1] : rectangle[3], rectangle[0] : rectangle[2]] = True
        return dense

    def ends_at(mask, rectangle, beyond):
        rows, columns = np.nonzero(mask)
        x1, y1, x2, y2 = rectangle
        return (
            (x1 > beyond[0] and columns.min() <= x1 + SLACK)
            or (y1 > beyond[1] and rows.min() <= y1 + SLACK)
            or (x2 < beyond[2] and columns.max() + 1 >= x2 - SLACK)
            or (y2 < beyond[3] and rows.max() + 1 >= y2 - SLACK)
        )

    best: dict = {}
    for a in range(len(masks)):
        for b in range(a):
            if labels[a] != labels[b] or tiles[a] == tiles[b]:
                continue
            inter = (masks[a] & masks[b]).sum(dtype=float)
            if inter == 0:
                continue
            both = window(where[a]) & window(where[b])
            seen = {i: masks[i] & both for i in (a, b)}
            cut = ends_at(seen[a], where[a], where[b])
            cut |= ends_at(seen[b], where[b], where[a])
            thin = {i: min(np.ptp(axis) + 1 for axis in np.nonzero(seen[i])) <= SLACK for i in (a, b)}
            rim = [thin[i] and not thin[j] and (masks[i] & ~both).any() for i, j in ((a, b), (b, a))]
            value = inter / (min(seen[a].sum(), seen[b].sum()) if cut else (masks[a] | masks[b]).sum())
            value *= not (cut and any(rim))
            small, large = sorted((a, b), key=lambda i: (seen[i].sum(), -rank[i]))
            key = small, tiles[large]
            best[key] = max(best.get(key, (0.0,)), (value, -rank[large], large))
    neighbours = {i: set() for i in order}
    for (small, _), (value, _, large) in best.items():
        if value >= threshold:
            neighbours[small].add(large)
            neighbours[large].add(small)
    whole = [not ends_at(mask, tile, (0, 0, SIZE, SIZE)) for mask, tile in zip(masks, where, strict=True)]
    left, result = list(order), []
    while left:
        group = [left.pop(0)]
        for member in group:
            for other in sorted(neighbours[member] & set(left), key=rank.get):
                if not (whole[other] and any(whole[i] and tiles[i] == tiles[other] for i in group)):
                    group.append(other)
                    left.remove(other)
        group.sort(key=rank.get)
        grown, looked_at = masks[group[0]].copy(), window(where[group[0]])
        for i in group[1:]:
            grown |= masks[i] & ~looked_at
            looked_at |= window(where[i])
        sound = sorted(
            (i for i in group if whole[i] and 2 * scores[i] >= scores[group[0]] and 2 * masks[i].sum() >= grown.sum()),
            key=lambda i: (np.prod(where[i][2:] - where[i][:2]), rank[i]),
        )
        alone = group[0] if np.array_equal(grown, masks[group[0]]) else None
        kept = sound[0] if sound else alone
        result.append((group, kept, grown if kept is None else masks[kept]))
    return result


def scene(rng: np.random.Generator, objects: int = 12):
    """Ellipses, seen by the tiles with errors: pieces and the arguments of `merge_pieces`."""
    masks, labels, tiles = [], [], []
    for _ in range(objects):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        axes = rng.integers(2, (40, 12)).tolist()
        cv2.ellipse(mask, rng.integers(0, SIZE, 2).tolist(), axes, int(rng.integers(180)), 0, 360, 1, -1)
        label = int(rng.integers(2))
        for tile, (x1, y1, x2, y2) in enumerate(TILES):
            part = np.zeros_like(mask)
            part[y1:y2, x1:x2] = np.roll(mask, rng.integers(-2, 3, 2), axis=(0, 1))[y1:y2, x1:x2]
            if part.any() and rng.random() < 0.9:
                masks.append(part.astype(bool))
                labels.append(label)
                tiles.append(tile)
    scores = rng.permutation(len(masks)) / len(masks)
    return np.array(masks), scores, np.array(labels), np.array(tiles)


@pytest.mark.parametrize('seed', range(12))
def test_equals_the_definitions_on_dense_masks(seed: int) -> None:
    masks, scores, labels, tiles = scene(np.random.default_rng(seed))
    found = merge_pieces(masks_to_rle(masks), scores, labels, tiles, TILES)
    want = dense_merge(masks, scores, labels, tiles, TILES)
    assert len(found) == len(want) < len(masks)
    for one, (group, mask) in zip(found, want, strict=True):
        assert one.members == group
        assert np.array_equal(decode_mask(one.mask), mask)
        assert one.kept is None or one.mask == masks_to_rle(masks)[one.kept]


def test_the_order_of_tiles_and_pieces_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    masks, scores, labels, tiles = scene(rng)
    scores = np.round(scores, 1)  # many are equal
    want = {str(one.mask) for one in merge_pieces(masks_to_rle(masks), scores, labels, tiles, TILES)}
    for _ in range(3):
        order, names = rng.permutation(len(masks)), rng.permutation(len(TILES))
        rectangles = np.empty_like(TILES)
        rectangles[names] = TILES
        shuffled = masks_to_rle(masks[order]), scores[order], labels[order], names[tiles[order]], rectangles
        assert {str(one.mask) for one in merge_pieces(*shuffled)} == want


def rectangle(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros((60, 300), bool)
    mask[y1:y2, x1:x2] = True
    return mask


ROW = np.array([[0, 0, 100, 60], [80, 0, 180, 60], [160, 0, 260, 60], [200, 0, 300, 60]])


def merged(*pieces: tuple[np.ndarray, int], scores=None, labels=None, tiles=ROW, **options):
    """Merges pieces given as (mask, tile) with descending scores."""
    masks = np.stack([mask & rectangle(*tiles[tile]) for mask, tile in pieces])
    scores = np.linspace(0.9, 0.5, len(pieces)) if scores is None else np.array(scores)
    labels = np.zeros(len(pieces), int) if labels is None else np.array(labels)
    return merge_pieces(masks_to_rle(masks), scores, labels, np.array([tile for _, tile in pieces]), tiles, **options)


def test_nothing_and_an_object_alone_stay_as_they_are() -> None:
    assert merge_pieces([], np.zeros(0), np.zeros(0, int), np.zeros(0, int), ROW) == []
    alone = rectangle(20, 10, 40, 20)
    (found,) = merged((alone, 0))
    assert (found.members, found.kept, found.mask) == ([0], 0, masks_to_rle(alone[None])[0])


def test_an_object_longer_than_several_tiles_becomes_one() -> None:
    """Its first and last piece share nothing; two neighbours share a fifth of each."""
    snake = rectangle(5, 10, 295, 20)
    (found,) = merged(*((snake, tile) for tile in range(4)))
    assert found.kept is None
    assert np.array_equal(decode_mask(found.mask), snake)


def test_objects_of_a_class_that_touch_stay_two() -> None:
    """One lies in the strip that both tiles saw, and its neighbour leaks into it; or a border cuts both."""
    left, sloppy = rectangle(20, 10, 82, 30), rectangle(80, 10, 130, 30)
    assert [one.members for one in merged((left, 0), (sloppy, 1))] == [[0], [1]]
    upper, lower = rectangle(40, 10, 140, 20), rectangle(40, 20, 140, 30)
    assert sorted(sorted(one.members) for one in merged((upper, 0), (lower, 0), (upper, 1), (lower, 1))) == [
        [0, 2],
        [1, 3],
    ]


def test_a_sliver_does_not_join_two_objects() -> None:
    """The rim of the right one, which the left one's mask covers, too."""
    left, right = rectangle(82, 10, 97, 30), rectangle(94, 10, 140, 30)
    found = merged((left, 1), (right, 1), (right, 0))
    assert [one.members for one in found] == [[0], [1, 2]]


def test_what_a_tile_saw_whole_is_not_spoilt_by_a_piece() -> None:
    """The cut piece leaks; it may have the better score, which the object keeps."""
    whole, leaking = rectangle(90, 10, 130, 30), rectangle(70, 8, 100, 34)
    (found,) = merged((leaking, 0), (whole, 1))
    assert (found.members, found.kept) == ([0, 1], 1)
    assert np.array_equal(decode_mask(found.mask), whole)


def test_what_a_squeezed_image_shows_as_one_does_not_gather_objects() -> None:
    tiles = np.concatenate([ROW, [[0, 0, 300, 60]]])
    blob, small = rectangle(10, 10, 70, 50), [rectangle(x, 10, x + 15, 50) for x in (10, 30, 50)]
    assert len(merged((blob, 4), *((one, 0) for one in small), tiles=tiles)) == 4
    large = rectangle(5, 5, 290, 55)  # longer than a tile, seen whole by the squeezed image alone
    (found,) = merged((large, 0), (large, 1), (large, 4), tiles=tiles)
    assert found.kept == 2


def test_a_blob_of_the_squeezed_image_does_not_join_what_borders_cut() -> None:
    tiles = np.concatenate([ROW, [[0, 0, 300, 60]]])
    blob, small = rectangle(10, 10, 290, 50), [rectangle(x, 15, x + 30, 45) for x in (60, 140, 220)]
    pieces = [(small[0], 0), (small[0], 1), (small[1], 1), (small[1], 2), (small[2], 2), (small[2], 3)]
    found = merged(*pieces, (blob, 4), tiles=tiles)
    assert sorted(sorted(one.members) for one in found) == [[0, 1], [2, 3], [4, 5], [6]]


def test_classes_stay_apart_unless_told_otherwise() -> None:
    long = rectangle(40, 10, 140, 20)
    assert len(merged((long, 0), (long, 1), labels=[0, 1])) == 2
    assert len(merged((long, 0), (long, 1), labels=[0, 1], class_agnostic=True)) == 1


def test_no_pair_is_lost_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, scores, labels, tiles = scene(np.random.default_rng(5))
    want = merge_pieces(masks_to_rle(masks), scores, labels, tiles, TILES)
    monkeypatch.setattr('mmagg.rle.mask_merge.PAIRS', 3)
    assert merge_pieces(masks_to_rle(masks), scores, labels, tiles, TILES) == want
