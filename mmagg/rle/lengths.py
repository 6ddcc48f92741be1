"""The run lengths of COCO's compressed RLE, of many masks at once, and their sums, the number of pixels.

pycocotools reads beyond the end of a code that is shorter than its image.

A number of a code is written in groups of five bits, the lowest first: a byte is 48 plus the group, plus 32 if more
follow; bit 16 of the last group is the sign. The first three numbers are lengths of runs, each later one is a
difference to the last run but one. So runs are sums of every other number: of the second, fourth, ..., and of the
third, fifth, ....

Shape shorthand: N masks, R runs of all of them.
"""

from collections.abc import Sequence

import numpy as np

CHUNK = 512  # codes at once; more do not fit into the processor's cache
LARGEST = 2**62  # more pixels than any image has


def run_lengths(code: bytes) -> np.ndarray:
    """(R,) lengths of the runs of one valid code, column by column, background first; unchecked, hence faster."""
    groups = np.frombuffer(code, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(groups < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((groups & 31) << shift, starts)
    runs -= np.where(groups[ends] & 16, 32 << shift[ends], 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs


def rle_lengths(codes: Sequence[bytes | str | list[int]]) -> np.ndarray:
    """Number of pixels of masks.

    Args:
        codes: N run-length codes, as text, bytes or a list of run lengths.

    Returns:
        (N,) int64, foreground and background together; -1 for a code that ends within a number, has a negative run or
        an invalid character.
    """
    result = np.zeros(len(codes), np.int64)
    written = [(i, code) for i, code in enumerate(codes) if len(code) and not isinstance(code, list)]
    for start in range(0, len(written), CHUNK):
        part = written[start : start + CHUNK]
        result[[i for i, _ in part]] = _written_lengths([code for _, code in part])
    for i, code in enumerate(codes):
        if isinstance(code, list):
            sound = all(
                (isinstance(run, int) or (isinstance(run, float) and run.is_integer())) and run >= 0 for run in code
            )
            result[i] = min(sum(code), LARGEST) if sound else -1
    return result


def _written_lengths(texts: Sequence[bytes | str]) -> np.ndarray:
    """(N,) pixels, or -1, of codes that are not empty."""
    codes = [code.encode(errors='surrogatepass') if isinstance(code, str) else code for code in texts]
    groups = np.frombuffer(b''.join(codes), np.uint8).astype(np.int64) - 48
    code_ends = np.cumsum([len(code) for code in codes])
    last = (groups & 32) == 0
    whole = last[code_ends - 1]
    last[code_ends - 1] = True
    ends = np.flatnonzero(last)  # (R,)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((groups & 31) << np.minimum(shift, 60), starts)
    numbers -= np.where(groups[ends] & 16, 32 << np.minimum(shift[ends], 57), 0)
    stops = np.searchsorted(ends, code_ends)  # runs up to the end of each mask
    counts = np.diff(stops, prepend=0)
    first = stops - counts
    place, count = np.arange(len(ends)) - np.repeat(first, counts), np.repeat(counts, counts)
    # Sorted as 0, 1, 3, ..., 2, 4, ... in each mask, so that what is added up stands together.
    even = (place % 2 == 0) & (place > 0)
    chains = np.empty_like(numbers)
    chains[np.repeat(first, counts) + (place + 1) // 2 + np.where(even, count // 2, 0)] = numbers
    begins: np.ndarray = np.zeros(len(ends), np.int64)
    for begin in (first, (first + 1)[counts > 1], (first + 1 + counts // 2)[counts > 2]):
        begins[begin] = begin
    begins = np.maximum.accumulate(begins)
    sums = np.cumsum(chains)
    runs = sums - sums[begins] + chains[begins]
    sound = whole & (np.minimum.reduceat(runs, first) >= 0)
    if groups.min() < 0 or groups.max() > 63:
        code_starts = np.concatenate([[0], code_ends[:-1]])
        sound &= np.minimum.reduceat(groups, code_starts) >= 0
        sound &= np.maximum.reduceat(groups, code_starts) <= 63
    return np.where(sound, np.add.reduceat(runs, first), -1)
