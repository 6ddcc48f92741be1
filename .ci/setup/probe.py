"""What mmcv's operators have to fit in the environment whose Python runs this, and whether they are there: JSON.

python probe.py DISTRIBUTION
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch
from torch.utils.cpp_extension import CUDA_HOME


def loads() -> bool:
    """True if the operators can be loaded, by themselves: all of mmcv needs more packages."""
    found = importlib.util.find_spec('mmcv')
    for folder in found.submodule_search_locations or () if found else ():
        for path in Path(folder).glob('_ext.*'):
            loader = importlib.machinery.ExtensionFileLoader('mmcv._ext', str(path))
            try:
                importlib.util.module_from_spec(importlib.util.spec_from_loader('mmcv._ext', loader))
                return True
            except ImportError:
                pass
    return False


def installed(name: str) -> dict:
    """The version of a distribution, and the address of the file it was installed from; empty where there is none."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return dict(version='', source='')
    return dict(version=found.version, source=json.loads(found.read_text('direct_url.json') or '{}').get('url', ''))


def target() -> dict:
    """What decides whether a wheel fits."""
    seen = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    gpu = bool(seen) or os.environ.get('FORCE_CUDA') == '1'
    archs = ' '.join(sorted({'{}.{}'.format(*torch.cuda.get_device_capability(number)) for number in seen}))
    return dict(
        torch=torch.__version__,
        python=sysconfig.get_config_var('SOABI') or '',
        platform=' '.join([sysconfig.get_platform(), *platform.libc_ver()]),
        gpu=(torch.version.cuda or torch.version.hip or 'unknown') if gpu else None,
        archs=os.environ.get('TORCH_CUDA_ARCH_LIST', archs) if gpu else '',
    )


def nvcc() -> str | None:
    """The version of the CUDA compiler that torch would call; None without one."""
    try:
        said = subprocess.run([f'{CUDA_HOME}/bin/nvcc', '--version'], capture_output=True, text=True).stdout
        return re.search(r'release (\d+\.\d+)', said)[1]
    except (OSError, TypeError):
        return None


def main(name: str) -> None:
    facts = dict(
        target=target(),
        nvcc=nvcc(),
        hip=torch.version.hip is not None,
        include=sysconfig.get_path('include'),
        loads=loads(),
        **installed(name),
    )
    print(f'\n{json.dumps(facts)}')


if __name__ == '__main__':
    main(sys.argv[1])
