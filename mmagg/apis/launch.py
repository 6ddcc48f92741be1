"""The process group of distributed training and testing, on GPUs and on CPUs.

mmengine's launcher calls ``torch.cuda.set_device`` and fails on a CPU build of PyTorch. Without GPUs, a gloo group is
started here, before the Runner, which leaves an existing group alone.
"""

import os
import subprocess
import sys
from threading import Event

import torch
from mmengine.config import Config
from mmengine.dist import barrier, init_dist
from torch import distributed

from mmagg.io.errors import InputError

# The environment variables of each launcher: rank, number of processes, rank on this machine.
VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
_gloo = Event()  # has been at work in this process


def is_main(launcher: str) -> bool:
    """True in the process that reports and writes; known before the group exists."""
    return launcher == 'none' or int(_environment(launcher)[0]) == 0


def processes(launcher: str) -> int:
    """The number of processes; known before the group exists."""
    return 1 if launcher == 'none' else int(_environment(launcher)[1])


def start_processes(cfg: Config, launcher: str) -> None:
    """Join the process group and prepare ``cfg`` for it; for the launcher ``none`` there is none to join.

    Raises:
        InputError: the launcher is unknown, or its environment variables are missing: it was not what started this.
    """
    cfg.launcher = launcher
    os.environ.setdefault('LOCAL_RANK', '0')
    if (cfg.get('randomness') or {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # older PyTorch refuses products without it
    if launcher == 'none':
        return
    rank, world_size, local_rank = _environment(launcher)
    if torch.cuda.is_available():
        init_dist(launcher, **cfg.get('env_cfg', {}).get('dist_cfg', {'backend': 'nccl'}))
    else:
        if 'MASTER_ADDR' not in os.environ:
            os.environ['MASTER_ADDR'] = _first_slurm_host() if launcher == 'slurm' else '127.0.0.1'
        os.environ.setdefault('MASTER_PORT', '29500')
        os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=local_rank)
        distributed.init_process_group('gloo')
        _gloo.set()
        _wrap_on_cpu(cfg)
    barrier()  # nobody writes before the main process has looked at the input


def _wrap_on_cpu(cfg: Config) -> None:
    """Pass no device ids to DistributedDataParallel, as it wants on CPUs; mmengine passes the local rank."""
    wrapper = cfg.setdefault('model_wrapper_cfg', {}) or {}
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def _environment(launcher: str) -> list[str]:
    if launcher not in VARIABLES:
        raise InputError(f'--launcher {launcher}: choose none, {", ".join(VARIABLES)}')
    missing = [name for name in VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise InputError(
            f'--launcher {launcher}: {missing[0]} is not set; start with tools/dist_train.sh, '
            'tools/dist_test.sh or tools/slurm_*.sh, or leave out --launcher'
        )
    return [os.environ[name] for name in VARIABLES[launcher]]


def _first_slurm_host() -> str:
    hosts = subprocess.run(
        ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']], capture_output=True, text=True, check=True
    )
    return hosts.stdout.split()[0]


def end_processes() -> None:
    """Leave the process group, all at once: a thread that still serves it would abort its process at the end."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def leave(code: int) -> None:
    """End a process that gloo has served, with this exit code; others are left to Python.

    Its threads outlive the group where something still refers to that. One that lets go of a tensor while Python is
    taken down aborts the process (https://github.com/pytorch/pytorch/issues/190489), so Python is not taken down.
    """
    if _gloo.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
