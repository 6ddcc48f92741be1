"""The run lengths in COCO's run-length codes, of many masks at once, and how many pixels they stand for.

pycocotools reads a code that is shorter than its image without an end.

Shape shorthand: N masks, R runs of all of them.
"""

from collections.abc import Sequence

import numpy as np

LARGEST = 2**62  # more than any image has


def rle_lengths(codes: Sequence[bytes | str | list[int]]) -> np.ndarray:
    """Pixels of run-length codes.

    Args:
        codes: N of them, as text, as bytes, or as a list of run lengths.

    Returns:
        (N,) int64, foreground and background together; -1 for a code that ends within a number, has a run of less than
        nothing or what is no number.
    """
    result = np.zeros(len(codes), np.int64)
    written = [i for i, code in enumerate(codes) if len(code) and not isinstance(code, list)]
    if written:
        result[written] = _written_lengths([codes[i] for i in written])
    for i, code in enumerate(codes):
        if isinstance(code, list):
            sound = all(isinstance(run, int | float) and run >= 0 for run in code)
            result[i] = min(sum(code), LARGEST) if sound else -1
    return result


def _written_lengths(codes: Sequence[bytes | str]) -> np.ndarray:
    """(N,) pixels, or -1, of codes that are not empty.

    A number is written in groups of five bits, the lowest first: a byte is 48 plus the group, plus 32 if more follow;
    bit 16 of the last group is the sign. It is the length of a run, from the fourth on the difference to the last but
    one. So the runs are sums of every other number, beginning with the second and with the third.
    """
    codes = [code.encode() if isinstance(code, str) else code for code in codes]
    groups = np.frombuffer(b''.join(codes), np.uint8).astype(np.int64) - 48
    code_ends = np.cumsum([len(code) for code in codes])
    whole = groups[code_ends - 1] < 32
    last = groups < 32
    last[code_ends - 1] = True
    ends = np.flatnonzero(last)  # (R,)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((groups & 31) << np.minimum(shift, 60), starts)
    numbers -= np.where(groups[ends] & 16, 32 << np.minimum(shift[ends], 57), 0)
    stops = np.searchsorted(ends, code_ends)  # runs up to the end of each mask
    counts = np.diff(stops, prepend=0)
    place = np.arange(len(ends)) - np.repeat(stops - counts, counts)
    times = np.where(place == 0, 1, (np.repeat(counts, counts) - 1 - place) // 2 + 1)
    return np.where(whole, np.add.reduceat(numbers * times, stops - counts), -1)
