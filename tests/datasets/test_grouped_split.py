"""Splits in two or three parts, in which groups stay together."""

import numpy as np
import pytest

from mmagg.datasets.grouped_split import group_names, grouped_split
from mmagg.datasets.stratified_split import stratified_split
from mmagg.io.errors import InputError


def test_two_parts_without_groups_are_those_of_the_stratified_split():
    counts = np.random.default_rng(0).integers(0, 3, (30, 4))
    parts = grouped_split(counts, groups=[str(place) for place in range(30)], shares=[0.7, 0.3], seed=5)
    assert parts.tolist() == stratified_split(counts, share=0.3, seed=5).astype(int).tolist()


def test_groups_of_all_sizes_stay_together_and_parts_have_their_share_of_images():
    rng = np.random.default_rng(1)
    groups = np.sort(rng.integers(0, 40, 400)).astype(str).tolist()
    parts = grouped_split(rng.integers(0, 3, (400, 3)), groups=groups, shares=[0.6, 0.2, 0.2], seed=0)
    for group in set(groups):
        assert len({part for part, name in zip(parts.tolist(), groups, strict=True) if name == group}) == 1
    assert np.abs(np.bincount(parts) / 400 - [0.6, 0.2, 0.2]).max() < 0.06


def test_as_many_groups_as_parts_are_enough_and_fewer_are_refused():
    counts = np.ones((6, 1), int)
    for shares in ([0.8, 0.1, 0.1], [0.1, 0.1, 0.8]):
        assert set(grouped_split(counts, groups=list('aabbcc'), shares=shares, seed=0).tolist()) == {0, 1, 2}
    with pytest.raises(InputError, match='2 groups of images for 3 parts'):
        grouped_split(counts, groups=list('aaabbb'), shares=[0.8, 0.1, 0.1], seed=0)


def test_groups_are_named_by_what_fits():
    names = ['0/a_001.jpg', '0/a_002.jpg', '1/b7.png', '1/b.png']
    assert group_names(names, None) == names
    assert group_names(['0/0001.jpg', '0/0002.jpg'], 'prefix') == ['0/0001.jpg', '0/0002.jpg']
    assert group_names(names, 'prefix') == ['group a', 'group a', 'group b', '1/b.png']
    assert group_names(names, '([a-z])_') == ['group a', 'group a', '1/b7.png', '1/b.png']
