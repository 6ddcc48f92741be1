"""Triton kernels as their launchers start them, compiled for a GPU that need not be there: resources and instructions.

Tensors are on PyTorch's meta device: Triton specialises and compiles for them as for a GPU's, and starts nothing.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

TOOLS = Path(triton.__file__).parent / 'backends/nvidia/bin'


@dataclass(frozen=True)
class Launched:
    """A start of a kernel.

    Attributes:
        name: of the kernel.
        blocks: that are started.
        warps: of a block.
        arguments: of the kernel by their names.
        cubin: the machine code.
    """

    name: str
    blocks: int
    warps: int
    arguments: dict[str, Any]
    cubin: bytes

    @cached_property
    def resources(self) -> dict[str, int]:
        """Of a thread: REG, STACK and LOCAL (bytes); of a block: SHARED (bytes)."""
        return {name: int(number) for name, number in re.findall(r'(\w+):(\d+)', self._printed('-res-usage'))}

    @cached_property
    def instructions(self) -> list[str]:
        """SASS, with labels as lines of their own that end with a colon."""
        printed = self._printed('-c', tool='nvdisasm')
        lines = re.findall(r'^(\.L_x_\d+:)|^\s+/\*[0-9a-f]{4,}\*/\s+(.+?)\s*;', printed, re.MULTILINE)
        return [label or instruction for label, instruction in lines]

    def _printed(self, option: str, *, tool: str = 'cuobjdump') -> str:
        with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
            file.write(self.cubin)
            file.flush()
            return subprocess.run([TOOLS / tool, option, file.name], check=True, capture_output=True, text=True).stdout


class AbsentGPU:
    """Stands in for Triton's driver. A device of each architecture has its number, so that caches are kept apart."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_device(self) -> int:
        return self.architecture

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget('cuda', self.architecture, 32)


@contextmanager
def launches(architecture: int) -> Iterator[list[Launched]]:
    """Within it, starts of Triton kernels are compiled for an architecture (80, 90, ...), and noted here instead."""
    found: list[Launched] = []
    run, active = JITFunction.run, driver._active

    def note(self: JITFunction, *arguments: Any, grid: tuple[int, ...], warmup: bool, **options: Any) -> Any:
        kernel = run(self, *arguments, grid=grid, warmup=True, **options)
        named = dict(zip(self.arg_names, arguments, strict=False)) | options
        found.append(Launched(self.fn.__name__, prod(grid), kernel.metadata.num_warps, named, kernel.asm['cubin']))
        return kernel

    driver.set_active(AbsentGPU(architecture))
    JITFunction.run = note
    try:
        yield found
    finally:
        JITFunction.run = run
        driver._active = active  # `reset_active` asks for a driver, which is not there
