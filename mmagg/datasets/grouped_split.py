"""Images for two or three parts, in which the images of a group stay together.

Shape shorthand: I images, G groups, C classes.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mmagg.datasets.stratified_split import stratified_split
from mmagg.io.errors import InputError

PREFIX = 'prefix'
COUNTED = re.compile(r'(.*?)[-_ .]*\d+')


def grouped_split(counts: np.ndarray, *, groups: Sequence[str], shares: Sequence[float], seed: int) -> np.ndarray:
    """The part of each image.

    `stratified_split` of the groups, the last part first. Where groups have several images, their number counts as a
    class, so that parts have their share of images, not of groups.

    Args:
        counts: (I, C), the objects of each class in each image.
        groups: I names; the images of one are in the same part.
        shares: of the parts; their sum is 1.
        seed: of the order of the groups.

    Returns:
        (I,) int, the place of the part in `shares`.

    Raises:
        InputError: there are fewer groups than parts.
    """
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    group = np.array([places[name] for name in groups], int)
    if len(places) < len(shares):
        one, of_images = ('image', '') if len(places) == len(groups) else ('group', ' of images')
        raise InputError(
            f'{len(places)} {one}{"s" * (len(places) != 1)}{of_images} for {len(shares)} parts; each needs one'
        )
    summed = np.zeros((len(places), counts.shape[1]), counts.dtype)
    np.add.at(summed, group, counts)
    if len(places) < len(groups):
        summed = np.column_stack([summed, np.bincount(group)])
    part, left, remaining = np.zeros(len(places), int), np.arange(len(places)), 1.0
    for number in reversed(range(1, len(shares))):
        share = min(shares[number] / remaining, (len(left) - number) / len(left))  # one is left for each part
        chosen = stratified_split(summed[left], share=share, seed=seed)
        part[left[chosen]] = number
        left, remaining = left[~chosen], remaining - shares[number]
    return part[group]


def group_names(names: Sequence[str], pattern: str | None) -> list[str]:
    """The group of each image by the name of its file; one that the pattern does not fit is a group of its own.

    Args:
        names: of the files, with folders.
        pattern: a regular expression for the beginning of the file's name, whose first bracket, or else all that fits,
            is the group; 'prefix' for the name without the number at its end; None for no groups.

    Raises:
        InputError: it is no regular expression.
    """
    if pattern is None:
        return list(names)
    try:
        expression = COUNTED if pattern == PREFIX else re.compile(pattern)
    except re.error as error:
        raise InputError(f'--group {pattern}: no regular expression ({error}), and not {PREFIX!r}') from error
    groups = []
    for name in names:
        last = PurePosixPath(name).stem if pattern == PREFIX else PurePosixPath(name).name
        found = expression.fullmatch(last) if pattern == PREFIX else expression.match(last)
        group = found and (found[1] if expression.groups else found[0])
        groups.append(f'group {group}' if group else name)  # names that are numbers alone are no group
    return groups
