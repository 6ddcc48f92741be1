"""Time and memory of forms of a computation that take turns. PyTorch alone is imported."""

from collections.abc import Callable, Hashable, Mapping
from time import perf_counter
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from mmagg.apis.hardware import usable_device
from mmagg.costs.memory import MIB, MemoryMeter

Key = TypeVar('Key', bound=Hashable)
Result = TypeVar('Result')


def measured_device(device: str, threads: int | None) -> torch.device:
    """The device to measure on, and PyTorch's CPU threads set for the process, if a number is given.

    Raises:
        InputError: there is no such device.
    """
    if threads:
        torch.set_num_threads(threads)
    return usable_device(device)


def heading(machine: Mapping[str, Any]) -> str:
    """The first line of a report, from `hardware`."""
    return f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}'


def timed(run: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds of a call, of several in a row."""
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    wait()
    start = perf_counter()
    for _ in range(calls):
        run()
    wait()
    return (perf_counter() - start) / calls


def peak_mib(run: Callable[[], object], device: torch.device) -> float:
    """Peak memory of a call above that at its start, in MiB."""
    with MemoryMeter(device) as meter:
        run()
    return meter.peak() / MIB


def in_turns(forms: Mapping[Key, Callable[[], Result]], runs: int) -> dict[Key, list[Result]]:
    """What several forms of a computation return, run after run.

    They take turns, and each run follows one of the same form that does not count: nobody alternates between two forms,
    and what the other one left in caches and allocator is not to be measured.

    Args:
        forms: by name.
        runs: that count, of each.
    """
    results: dict[Key, list[Result]] = {name: [] for name in forms}
    for _ in tqdm(range(runs), desc='benchmark', unit='turn', leave=False):
        for name, form in forms.items():
            form()
            results[name].append(form())
    return results
