"""A bound of a kernel's speed from its machine code: the instructions that it issues, against the bytes that move.

A scheduler issues an instruction a cycle, a multiprocessor an access to memory. What is left out makes a kernel slower:
latencies, bank conflicts, programs that do not fill the last wave.
"""

import re
from dataclasses import dataclass

from offline_kernels import Launched

ACCESSES = ('LDG', 'STG', 'LDL', 'STL', 'LDS', 'STS')
PRODUCTS = ('FFMA', 'FMUL')
SCHEDULERS = 4  # of a multiprocessor


@dataclass(frozen=True)
class GPU:
    """A GPU's rates.

    Attributes:
        name: of the model.
        processors: streaming multiprocessors.
        clock: in Hz.
        copy: bytes/s that a copy reads and writes.
    """

    name: str
    processors: int
    clock: float
    copy: float


GPUS = {80: GPU('A100', 108, 1.41e9, 1.40e12), 90: GPU('H200', 132, 1.85e9, 4.3e12)}  # by architecture


@dataclass(frozen=True)
class Bound:
    """What a kernel does at most.

    Attributes:
        share: of the bandwidth of a copy.
        products: multiply-adds of all threads.
        overhead: instructions issued for each that multiplies and adds.
    """

    share: float
    products: int
    overhead: float


def bound(launched: Launched, *, trips: tuple[int, ...], moved: int, gpu: GPU) -> Bound:
    """The bound of a start of a kernel.

    Args:
        launched: the start.
        trips: of the outermost loop, of those in it, ...
        moved: bytes that are read and written at least.
        gpu: the GPU.
    """
    loops = loops_of(launched.instructions)
    issued = accesses = products = 0
    for number, line in enumerate(launched.instructions):
        times = 1
        for depth in range(sum(first <= number <= last for first, last in loops)):
            times *= trips[depth]
        operation = re.sub(r'^@!?U?P\w+\s+', '', line)
        issued += times * (not line.endswith(':'))
        accesses += times * operation.startswith(ACCESSES)
        products += times * operation.startswith(PRODUCTS)
    warps = launched.blocks * launched.warps
    copying = moved / gpu.copy
    issuing = warps * issued / (gpu.processors * SCHEDULERS * gpu.clock)
    accessing = warps * accesses / (gpu.processors * gpu.clock)
    return Bound(copying / max(copying, issuing, accessing), 32 * warps * products, issued / products)


def loops_of(instructions: list[str]) -> list[tuple[int, int]]:
    """First and last instruction of each loop; not of the trap behind the end, which branches to itself."""
    places = {line[:-1]: number for number, line in enumerate(instructions) if line.endswith(':')}
    found = []
    for number, line in enumerate(instructions):
        target = re.search(r'\bBRA\b.*`\((\.L_x_\d+)\)', line)
        if target and places[target[1]] < number - 1:
            found.append((places[target[1]], number))
    return sorted(found)
