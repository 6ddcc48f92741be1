"""Time and memory of forms of a computation that take turns. PyTorch alone is imported."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from mmagg.costs.memory import MIB, MemoryMeter

Key = TypeVar('Key', bound=Hashable)
Result = TypeVar('Result')


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
    """The results of several forms of a computation, by name, a list of as many as there are `runs`.

    They take turns, and each run follows one of the same form that does not count: nobody alternates between two forms,
    and what the other one left in caches and allocator is not to be measured.
    """
    results: dict[Key, list[Result]] = {name: [] for name in forms}
    for _ in tqdm(range(runs), desc='benchmark', unit='turn', leave=False):
        for name, form in forms.items():
            form()
            results[name].append(form())
    return results


def compare(
    forms: Mapping[str, Callable[[], Sequence[Tensor]]], device: torch.device, runs: int, calls: int = 1
) -> dict[str, dict[str, float]]:
    """Time, memory and results of several forms of a computation.

    Args:
        forms: by name; the results of the first are what the others' are compared with.
        device: where they run.
        runs: timed runs of each, in turns.
        calls: of a form, in a run.

    Returns:
        per form `seconds` of a call (median), peak `mib`, the `largest` of its values and the largest `difference`.
    """
    found, expected = {}, next(iter(forms.values()))()
    for name, form in forms.items():
        values = form()
        found[name] = {
            'largest': max(x.abs().max().item() for x in values),
            'difference': max((a - b).abs().max().item() for a, b in zip(expected, values, strict=True)),
        }
        del values
        found[name]['mib'] = peak_mib(form, device)
    del expected
    seconds = in_turns({name: partial(timed, form, device, calls) for name, form in forms.items()}, runs)
    return {name: found[name] | {'seconds': median(seconds[name])} for name in forms}
