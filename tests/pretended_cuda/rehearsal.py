"""A part of the check of a GPU on the pretended CUDA device, in a process of its own; arguments as of `measure_model`.

What PyTorch measures of a GPU is pretended, too, and a wait warns as with its `set_sync_debug_mode`.
"""

import json
import sys
import warnings
from types import SimpleNamespace
from unittest import mock

import torch

from mmagg.costs.cuda_guard import enter_guarded
from mmagg.costs.gpu_check import measure_model
from mmagg.costs.pretended_cuda import PretendedCUDA, pretended_cuda

MEMORY = ('memory_allocated', 'max_memory_allocated', 'reset_peak_memory_stats')


def rehearsed(options: dict) -> dict:
    """The part's report, and the waits that the device counted of each of its two runs."""
    mode = SimpleNamespace(now='default')
    counted: list[int] = []

    def set_mode(name: str) -> None:
        if name == 'default':
            counted.append(cuda.num_waits - started.pop())
        else:
            started.append(cuda.num_waits)
        mode.now = name

    def wait(self: PretendedCUDA, reason: str) -> None:
        count(self, reason)
        if mode.now == 'warn':
            warnings.warn('called a synchronizing CUDA operation', UserWarning, stacklevel=2)

    started: list[int] = []
    count = PretendedCUDA.wait
    properties = {name: lambda *_: 2**20 for name in MEMORY} | {'set_sync_debug_mode': set_mode}
    with (
        pretended_cuda() as cuda,
        mock.patch.multiple(torch.cuda, **properties),
        mock.patch.object(PretendedCUDA, 'wait', wait),
        mock.patch('mmagg.costs.mmcv_stand_in.use_where_absent', return_value=False),
    ):
        return {'report': measure_model(**options), 'counted': counted}


if __name__ == '__main__':
    enter_guarded()
    options = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(rehearsed(options | {'shape': tuple(options['shape'])})))
