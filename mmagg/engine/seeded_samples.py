"""Samples whose augmentation depends on their place in the training, not on the process that makes them.

mmengine seeds each loader worker when it starts. What a worker draws for a sample then depends on the number of workers
and on all that it made before, so a resumed training, whose workers start anew, would go on with other numbers. Here
the sampler gives each index the place of its draw, and the numbers are those of the seed and the place.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Dataset, Sampler

from mmagg.engine.random_numbers import ORDER, SAMPLE, seed_all


class SeededIndex(int):
    """An index into a data set, with the place of its draw.

    Attributes:
        place: seed, epoch, and number in the epoch, counted over all processes.
    """

    place: tuple[int, int, int]

    @classmethod
    def at(cls, place: tuple[int, int, int], index: int) -> 'SeededIndex':
        """An index that is drawn at a place."""
        draw = cls(index)
        draw.place = place
        return draw


class SeededSampler(Sampler):
    """A sampler's indices, in its order, with their places.

    What the sampler itself draws while it goes on depends on the place alone as well.
    """

    def __init__(self, dataset: Dataset, sampler: dict, seed: int | None = None) -> None:
        """Build a sampler.

        Args:
            dataset: what it samples from.
            sampler: its config.
            seed: that of all processes; None for one that they agree on.
        """
        self.seed = sync_random_seed() if seed is None else seed
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=self.seed))
        self.epoch, self.count = 0, 0
        self.left_out: set[tuple[int, int, int]] = set()
        if hasattr(self.sampler, 'skip'):  # mmengine asks whether it has that
            self.skip = self._skip

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['sampler'], name)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SeededIndex]:
        rank, world = get_dist_info()
        indices = iter(self.sampler)
        while True:
            place = (self.seed, self.epoch, self.count * world + rank)
            seed_all(ORDER, *place)
            index = next(indices, None)
            if index is None:
                return
            self.count += 1
            if place in self.left_out:
                continue
            yield SeededIndex.at(place, index) if isinstance(index, int) else index  # frames of videos are pairs

    def leave_out(self, indices: Iterable[SeededIndex]) -> None:
        """Begin the epoch again, without some of its indices: batch samplers make the other batches of the others."""
        self.left_out = {index.place for index in indices}
        self.set_epoch(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch, self.count = epoch, 0
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def _skip(self, number: int) -> None:
        self.sampler.skip(number)
        self.count = number


def with_seeded_sampler(loader: dict) -> dict:
    """The config of a data loader, its sampler a `SeededSampler`."""
    return {**loader, 'sampler': dict(type=SeededSampler, sampler=loader['sampler'])}


def seed_samples(dataset: Dataset) -> None:
    """Let loaders make a data set's samples with the random numbers of their places; in place.

    PyTorch's loaders call ``__getitems__`` of a data set that has it. A wrapper would hide the data set from hooks that
    change it, such as mmdet's PipelineSwitchHook.
    """
    dataset.__getitems__ = partial(samples, dataset)  # type: ignore[attr-defined]  # torch's class need not have it


def samples(dataset: Dataset, indices: Sequence[Any]) -> list[Any]:
    """The samples of a batch, each draw with its own random numbers."""
    made = []
    for index in indices:
        if isinstance(index, SeededIndex):
            seed_all(SAMPLE, *index.place)
            index = int(index)
        made.append(dataset[index])
    return made
