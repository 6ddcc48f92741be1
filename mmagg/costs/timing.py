"""Time and memory of forms of a computation that take turns. PyTorch alone is imported."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from mmagg.costs.memory import MIB, MemoryMeter
from mmagg.ops.stage import StageClock

Key = TypeVar('Key', bound=Hashable)
Result = TypeVar('Result')


def heading(machine: Mapping[str, Any]) -> str:
    """The first line of a report, from `hardware`."""
    return f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}'


def clocked(
    run: Callable[[], object], device: torch.device, calls: int = 1, *, stages: bool = False
) -> dict[str, float]:
    """Milliseconds of a call, of several in a row: of its marked `stages` if these are to be told apart, and 'rest'."""
    clock = StageClock(device)
    with clock.listening() if stages else nullcontext(), clock.stage('rest'):
        for _ in range(calls):
            run()
    return {name: 1e3 * seconds / calls for name, seconds in clock.seconds.items()}


def in_turns(forms: Mapping[Key, Callable[[], Result]], runs: int) -> dict[Key, list[Result]]:
    """The results of several forms of a computation, by name, a list of as many as there are `runs`.

    They take turns, and each run follows one of the same form that does not count: what another form left in caches and
    allocator is not to be measured.
    """
    results: dict[Key, list[Result]] = {name: [] for name in forms}
    for _ in tqdm(range(runs), desc='benchmark', unit='turn', leave=False):
        for name, form in forms.items():
            form()
            results[name].append(form())
    return results


def measure(
    forms: Mapping[Key, Callable[[], object]], device: torch.device, runs: int, *, calls: int = 1, stages: bool = False
) -> dict[Key, dict[str, Any]]:
    """Time and memory of several forms of a computation.

    Args:
        forms: by name.
        device: where they run.
        runs: timed runs of each, in turns.
        calls: of a form, in a run.
        stages: tell those apart that are marked.

    Returns:
        per form its peak memory `mib`, the median time of a call `ms`, and that of its stages, `stages_ms`.
    """
    mib = {}
    for name, form in forms.items():
        with MemoryMeter(device) as meter:
            form()
        mib[name] = meter.peak() / MIB
    found = {}
    timed = {name: partial(clocked, form, device, calls, stages=stages) for name, form in forms.items()}
    for name, times in in_turns(timed, runs).items():
        stages_ms = {stage: median(each[stage] for each in times) for stage in times[0]}
        found[name] = {'mib': mib[name], 'ms': median(sum(each.values()) for each in times), 'stages_ms': stages_ms}
    return found


def compare(
    forms: Mapping[str, Callable[[], Sequence[Tensor]]], device: torch.device, runs: int, *, calls: int = 1
) -> dict[str, dict[str, Any]]:
    """Time, memory and results of several forms of a computation; the results are compared with the first form's.

    Returns:
        per form the result of `measure`, and the `largest` of its values and the largest `difference`.
    """
    found, expected = {}, next(iter(forms.values()))()
    for name, form in forms.items():
        values = form()
        found[name] = {
            'largest': max(x.abs().max().item() for x in values),
            'difference': max((a - b).abs().max().item() for a, b in zip(expected, values, strict=True)),
        }
    del expected, values
    measured = measure(forms, device, runs, calls=calls)
    return {name: found[name] | measured[name] for name in forms}
