"""The device to compute on, and its hardware.

PyTorch alone is imported: operators are measured where MMDetection is not installed.
"""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from mmagg.io.errors import InputError


def usable_device(device: str | None = None) -> torch.device:
    """A device, tried with an empty tensor.

    Args:
        device: e.g. ``cpu`` or ``cuda:0``; by default the first GPU, or the CPU where there is none.

    Raises:
        InputError: there is no such device, or PyTorch cannot use it.
    """
    if device is None:
        device = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'--device {device}: {str(error).splitlines()[0]}') from error


def hardware(device: str | torch.device) -> dict[str, Any]:
    """The processor, its cores, PyTorch's threads, the GPU if ``device`` is one, and the versions of the software."""
    on_cuda = torch.device(device).type == 'cuda'
    return {
        'cpu': _cpu_name(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'threads': torch.get_num_threads(),
        'gpu': torch.cuda.get_device_name(device) if on_cuda else None,
        'torch': torch.__version__,
        'python': platform.python_version(),
    }


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
