"""Budgets of chunks."""

from types import SimpleNamespace

import pytest
import torch

from mmagg.ops import budget_on, chunk_size
from mmagg.ops.byte_budget import BYTES, CACHE_BYTES, GPU_SHARE, cached_budget


@pytest.mark.parametrize(('total', 'want'), [(32 * 2**30, 2**30), (2**30, BYTES)])
def test_without_one_it_is_the_devices(monkeypatch: pytest.MonkeyPatch, total: int, want: int) -> None:
    assert GPU_SHARE == 32
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda _: SimpleNamespace(total_memory=total))
    assert budget_on(torch.device('cuda', 0), None) == want
    assert budget_on(torch.device('cpu'), None) == BYTES
    assert {budget_on(torch.device(device), 5) for device in ('cpu', 'cuda')} == {5}


@pytest.mark.parametrize(('item', 'budget', 'want'), [(10, 100, 10), (10, 99, 9), (10, 3, 1), (0, 5, 5)])
def test_chunk_size(item: int, budget: int, want: int) -> None:
    assert chunk_size(item, budget) == want


def test_element_wise_work_stays_in_the_caches_of_a_cpu() -> None:
    assert cached_budget(2**40, torch.device('cpu')) == CACHE_BYTES
    assert cached_budget(2**40, torch.device('cuda')) == 2**40
    assert cached_budget(5, torch.device('cpu')) == 5
