"""Samples are a function of the seed and of their places, whichever process makes them."""

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mmagg.engine import seeded_samples
from mmagg.engine.seeded_samples import seed_samples, with_seeded_sampler


class Noise:
    """Samples that are an index and numbers of all generators; half of the images are wide."""

    metainfo = {'classes': ('odd', 'even')}

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[float, ...]:
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(()).item()

    def get_data_info(self, index: int) -> dict[str, int]:
        return {'width': 1 + index % 2, 'height': 2}

    def get_cat_ids(self, index: int) -> list[int]:
        return [index % 2]


class Joined(Noise):
    """Two of them as one."""

    def __init__(self) -> None:
        super().__init__(12)
        self.datasets, self.cumulative_sizes = [Noise(4), Noise(8)], [4, 12]


SAMPLERS = {
    'default': dict(sampler=dict(type='DefaultSampler', shuffle=True)),
    'by shape': dict(sampler=dict(type='DefaultSampler'), batch_sampler=dict(type='AspectRatioBatchSampler')),
    'by class': dict(sampler=dict(type='ClassAwareSampler')),
    'several data sets': dict(sampler=dict(type='MultiDataSampler', dataset_ratio=[1, 2])),
}
ENDLESS = {
    'endless': dict(sampler=dict(type='InfiniteSampler')),
    'endless by shape': dict(sampler=dict(type='InfiniteSampler'), batch_sampler=dict(type='AspectRatioBatchSampler')),
    'several sources': dict(sampler=dict(type='GroupMultiSourceSampler', batch_size=2, source_ratio=[1, 1])),
    'epochs in a loop of iterations': dict(sampler=dict(type='DefaultSampler')),
}


def loader(*, workers: int, seed: int = 0, sampler: dict, **settings: Any) -> DataLoader:
    """A loader as a training builds it."""
    config = dict(dataset=Joined(), batch_size=2, num_workers=workers, sampler=sampler, **settings)
    if workers:
        config |= dict(persistent_workers=True, disable_subprocess_warning=True)
    result = Runner.build_dataloader(with_seeded_sampler(config), seed=seed)
    seed_samples(result.dataset)
    return result


def epoch(made: DataLoader, number: int) -> list:
    """The batches of an epoch."""
    made.batch_sampler.sampler.set_epoch(number)
    return [list(map(tuple, zip(*batch, strict=True))) for batch in made]


@pytest.fixture(autouse=True)
def _samplers_of_mmdet() -> None:
    register_all_modules()


@pytest.mark.parametrize('settings', SAMPLERS.values(), ids=SAMPLERS)
def test_an_epoch_is_the_same_whoever_makes_it(settings):
    ahead = loader(workers=2, **settings)
    whole = [epoch(ahead, number) for number in (0, 1)]
    for workers in (0, 1):
        assert epoch(loader(workers=workers, **settings), 1) == whole[1]
    numbers = [sample[1:] for batches in whole for batch in batches for sample in batch]
    assert len(numbers) == len(set(numbers)) == 24  # none is drawn twice
    assert epoch(loader(workers=0, seed=1, **settings), 1) != whole[1]


@pytest.mark.parametrize('settings', ENDLESS.values(), ids=ENDLESS)
def test_iterations_go_on_as_if_nothing_had_been(settings, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda _: None)  # mmengine waits before each epoch
    ahead = _InfiniteDataloaderIterator(loader(workers=2, **settings))
    whole = [next(ahead) for _ in range(20)]
    for workers in (0, 1):
        later = _InfiniteDataloaderIterator(loader(workers=workers, **settings))
        if hasattr(later, 'skip_iter'):  # mmengine draws what it skips up to 0.10.10
            later.skip_iter(9)
        else:
            assert [next(later) for _ in range(9)] == whole[:9]
        assert [next(later) for _ in range(11)] == whole[9:]
    numbers = {sample[1:] for batch in whole for sample in zip(*batch, strict=True)}
    assert len(numbers) == 40


@pytest.mark.parametrize('settings', SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize('had', [1, 3, 6])
def test_the_rest_of_an_epoch(settings, had):
    whole = epoch(loader(workers=0, **settings), 1)
    resumed = loader(workers=0, **settings)
    sampler = resumed.batch_sampler.sampler
    sampler.set_epoch(1)
    sampler.leave_out([draw for batch in list(resumed.batch_sampler)[:had] for draw in batch])
    rest = [list(map(tuple, zip(*batch, strict=True))) for batch in resumed]
    assert rest == whole[had:]
    assert len(epoch(resumed, 2)) == len(whole)


def test_processes_share_the_draws_of_one(monkeypatch):
    [whole] = [epoch(loader(workers=0, **SAMPLERS['default']), 1)]
    shares = []
    for rank in (0, 1):
        for module in ('mmagg.engine.seeded_samples', 'mmengine.dataset.sampler'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda rank=rank: (rank, 2))
        shares.append([sample for batch in epoch(loader(workers=0, **SAMPLERS['default']), 1) for sample in batch])
    assert not set(shares[0]) & set(shares[1])
    assert {*shares[0], *shares[1]} == {sample for batch in whole for sample in batch}


def test_workers_that_get_a_pickle_make_the_same():
    made = loader(workers=0, **SAMPLERS['default'])
    batch = next(iter(made.batch_sampler))
    dataset, received = pickle.loads(pickle.dumps((made.dataset, batch)))
    assert dataset.__getitems__(received) == made.dataset.__getitems__(batch)


def test_what_is_no_index_is_handed_on():
    class Pairs(Noise):
        def __getitem__(self, index: Any) -> Any:
            return index

    assert seeded_samples.samples(Pairs(1), [(0, 1), seeded_samples.SeededIndex.at((0, 0, 0), 5), 7]) == [(0, 1), 5, 7]


STEPS = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
MIXED = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandAugment', aug_num=2),
    dict(type='CopyPaste'),
    dict(type='PackDetInputs'),
]


def test_images_that_are_mixed_of_several(shapes_folder):
    part = dict(
        type='CocoDataset',
        data_root=str(shapes_folder),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        metainfo=dict(classes=('circle', 'square', 'triangle', 'star', 'ring')),
        pipeline=STEPS,
    )
    repeated = dict(type='RepeatDataset', times=2, dataset=part)
    joined = dict(type='ConcatDataset', datasets=[part, part])
    seen = []
    for workers in (0, 2):
        for dataset in (joined, repeated):
            mixed = dict(type='MultiImageMixDataset', dataset=dataset, pipeline=MIXED)
            settings = dict(dataset=mixed, batch_size=2, num_workers=workers, disable_subprocess_warning=True)
            made = Runner.build_dataloader(with_seeded_sampler({**settings, **SAMPLERS['default']}), seed=0)
            seed_samples(made.dataset)
            seen.append([image.sum().item() for batch in made for image in batch['inputs']])
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert len(set(seen[0])) == 8  # of four images
