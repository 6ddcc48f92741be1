"""Say whether this environment can train, and how to install what is missing.

It runs where everything else is missing.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata, util

CAN_TRAIN, CANNOT_TRAIN = 0, 1
PIP = f'{sys.executable} -m pip install'
# Compiles against the torch that is there. --no-cache-dir: pip's cache may hold a wheel that was built without torch,
# and so without operators.
COMPILE = f'{PIP} --no-build-isolation --no-cache-dir'
MMCV = {
    'onedl-mmcv': f'{PIP} setuptools wheel ninja psutil && {COMPILE} {{}} onedl-mmcv==2.3.6',
    'mmcv': f"{PIP} 'setuptools<81' wheel ninja psutil && {COMPILE} {{}} 'mmcv>=2.1,<2.2'",
}


@dataclass(frozen=True)
class Package:
    """A package: its name in Python, the command that installs it, and whether and for what training needs it."""

    module: str
    command: str
    needed: bool = True
    purpose: str = ''


PACKAGES = (
    Package('torch', f'{PIP} torch==2.13.0'),
    Package('numpy', f'{PIP} numpy'),
    Package('mmengine', f'{PIP} onedl-mmengine==0.10.12'),
    Package('mmcv', ' '.join(MMCV['onedl-mmcv'].format('').split())),
    Package('mmdet', f'{PIP} onedl-mmdetection==3.5.1'),
    Package('pycocotools', f'{PIP} pycocotools'),
    Package('faster_coco_eval', f'{PIP} faster-coco-eval', purpose='the evaluator'),
    Package('cv2', f'{PIP} opencv-python-headless'),
    Package('lvis', f'{PIP} lvis', needed=False, purpose="LVIS data sets, AP* by LVIS's own package"),
    Package('triton', f'{PIP} triton', needed=False, purpose='fast content-aware reassembly and aggregation on GPUs'),
    Package('torchvision', f'{PIP} torchvision', needed=False, purpose='torchvision:// weights newer than V1'),
)


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/doctor.py``: none."""
    return argparse.ArgumentParser(
        description='Say whether this environment can train (exit code 0, else 1), and how to fix it.'
    )


def run(args: argparse.Namespace) -> int:
    """Look at everything that training needs and print what is there."""
    _line('python', f'{platform.python_version()} ({sys.executable})')
    _line('machine', f'{platform.system()} {platform.machine()}, {_cores()} cores, {_memory()} memory')
    working = {package.module for package in PACKAGES if _works(package)}
    can_train = all(package.module in working for package in PACKAGES if package.needed)
    if 'torch' in working:
        _show_devices()
    if {'torch', 'mmcv'} <= working:
        can_train &= _compiled_ops_work()
    print('\nbackend of each op')
    for op, backend in _backends().items():
        _line(f'  {op}', backend)
    print(f'\n{"This environment can train." if can_train else "This environment cannot train yet."}')
    return CAN_TRAIN if can_train else CANNOT_TRAIN


def _line(name: str, text: str) -> None:
    print(f'{name:<18}{text}')


def _problem(name: str, text: str, command: str, *, fatal: bool) -> None:
    """Print the problem and the command that fixes it."""
    _line(name, f'{"MISSING" if fatal else "note"}: {text}')
    _line('', f'  fix: {command}')


def _works(package: Package) -> bool:
    """Import a package and print its version and the distribution that provides it; False if that fails."""
    purpose = f' (for {package.purpose})' if package.purpose else ''
    if util.find_spec(package.module) is None:
        _problem(package.module, f'not installed{purpose}', package.command, fatal=package.needed)
        return False
    try:
        module = import_module(package.module)
    except Exception as error:  # a broken installation may raise anything
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        _problem(package.module, f'does not import{purpose}: {reason}', package.command, fatal=package.needed)
        return False
    providers = sorted(set(metadata.packages_distributions().get(package.module, ())))
    version = getattr(module, '__version__', None) or (metadata.version(providers[0]) if providers else '?')
    _line(package.module, f'{version} from {", ".join(providers) or package.module}')
    surplus = [name for name in providers if not name.startswith('onedl-')]
    if package.module.startswith('mm') and len(providers) > len(surplus) > 0:
        _problem(
            package.module,
            f'{len(providers)} distributions write to the same folder',
            f'{sys.executable} -m pip uninstall {surplus[0]}; {package.command} --force-reinstall --no-deps',
            fatal=False,
        )
    return True


def _show_devices() -> None:
    import torch

    if not torch.cuda.is_available():
        built = f'built for CUDA {torch.version.cuda}, but no GPU is usable' if torch.version.cuda else 'a CPU build'
        _line('CUDA', f'no ({built}); training runs on the CPU')
        return
    names = ', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    _line('CUDA', f'{torch.version.cuda}: {names}')


def _compiled_ops_work() -> bool:
    import torch

    try:
        from mmcv.ops import get_compiling_cuda_version, nms

        nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
        cuda = get_compiling_cuda_version()
    except Exception as error:  # an extension built for another PyTorch may raise anything
        if getattr(error, 'name', None) == 'mmcv._ext':
            reason = "mmcv has none: it was built where torch was not installed, or is such a build from pip's cache"
        else:
            reason = 'the compiled ops do not work: ' + ' '.join(f'{type(error).__name__}: {error}'.split())
        _problem('mmcv ops', reason, _recompile(), fatal=True)
        return False
    _line('mmcv ops', f'work (compiled with CUDA: {cuda})')
    if torch.cuda.is_available() and cuda == 'not available':
        command = f'export FORCE_CUDA=1; {_recompile()}'
        _problem('mmcv ops', 'compiled without CUDA, they fail on the GPU', command, fatal=False)
    return True


def _recompile() -> str:
    """The command that compiles the operators of the mmcv that is installed anew."""
    provider = next(iter(sorted(metadata.packages_distributions().get('mmcv', ()), reverse=True)), 'onedl-mmcv')
    command = MMCV.get(provider, MMCV['onedl-mmcv']).format('--force-reinstall --no-deps')
    return f'{command}  # compiles for some minutes; needs a C++ compiler'


def _backends() -> dict[str, str]:
    """The backend of each op: fixed ones, and those of `mmagg.ops.BACKENDS`."""
    backends: dict[str, Callable[[], str] | str] = {'nms': 'torch', 'resize': 'torch', 'rle': 'pycocotools'}
    try:
        backends |= getattr(import_module('mmagg.ops'), 'BACKENDS', {})
    except ImportError as error:
        return {'mmagg.ops': f'cannot be imported: {error}'}
    return {op: backend() if callable(backend) else backend for op, backend in backends.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _memory() -> str:
    try:
        return f'{os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30:.1f} GiB'
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 'unknown'
