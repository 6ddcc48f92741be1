"""What a measurement ran on. PyTorch alone is imported: operators are measured where MMDetection is not installed."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def hardware(device: str) -> dict[str, Any]:
    """What the measurement ran on."""
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
