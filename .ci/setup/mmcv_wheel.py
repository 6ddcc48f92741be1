"""mmcv with its compiled operators, for the torch that is installed: compiled once on a machine, then kept as a wheel.

pip's own cache is not used for it: it knows the version of mmcv alone, while a wheel fits one build of torch, and one
that was built where there was no torch has no operators at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from steps import CommandError, SetupError, Steps

FLAGS = '-O2 -g0 -DNDEBUG -fwrapv -w'
ON_CPU = 'CUDA_VISIBLE_DEVICES=-1 make setup'


@dataclass(frozen=True)
class Target:
    """What decides whether a wheel fits, beside mmcv's version and the compiler's flags.

    Attributes:
        torch: version, with its local part.
        python: the ABI of Python's extensions.
        platform: system, processor and C library.
        gpu: version of CUDA if there are operators for GPUs in it, else None.
        archs: GPUs that it is for.
    """

    torch: str
    python: str
    platform: str
    gpu: str | None
    archs: str

    def name(self, requirement: str) -> str:
        """The name of its folder in the cache."""
        everything = json.dumps([requirement, flags(), asdict(self)], sort_keys=True)
        parts = [f'torch-{self.torch}', 'gpu' if self.gpu else 'cpu', self.python]
        return prefix(requirement) + '_'.join([*parts, hashlib.sha256(everything.encode()).hexdigest()[:16]])


def prefix(requirement: str) -> str:
    """How the names of a version's folders in the cache begin."""
    return f'{requirement.replace("==", "-")}_'


def flags() -> str:
    """For the compiler: the user's come last."""
    return f'{FLAGS} {os.environ.get("CFLAGS", "")}'.strip()


def compiler() -> list[str]:
    return shlex.split(os.environ.get('CXX') or 'c++')


def cache() -> Path:
    """The folder of the wheels: MMAGG_WHEELS, else in the user's cache folder."""
    if os.environ.get('MMAGG_WHEELS'):
        return Path(os.environ['MMAGG_WHEELS']).absolute()
    place = os.environ.get('XDG_CACHE_HOME', '')
    return Path(place if os.path.isabs(place) else os.path.expanduser('~/.cache')) / 'mmagg' / 'wheels'


def kept(name: str) -> Path | None:
    """The wheel in a folder of the cache. It is code: nobody but this user and root can have written it."""
    for wheel in sorted((cache() / name).glob('*.whl')):
        parts = (wheel, wheel.parent, wheel.parent.parent)
        if all(path.stat().st_uid in (os.geteuid(), 0) and not path.stat().st_mode & 0o022 for path in parts):
            return wheel
    return None


def keep(folder: Path, name: str) -> None:
    """Put a folder with a wheel into the cache, whole or not at all; another process may have done so before."""
    with suppress(OSError):  # a cache that cannot be written to
        cache().mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix='.new-', dir=cache()))
        try:
            shutil.copytree(folder, temporary / name)
            for path in (temporary / name, *(temporary / name).iterdir()):
                path.chmod(path.stat().st_mode & ~0o022)  # which many systems' umask gives the group
            shutil.rmtree(cache() / name, ignore_errors=True)
            os.rename(temporary / name, cache() / name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_compiler(include: str) -> None:
    """Refuse to begin what cannot be compiled.

    Raises:
        SetupError: there is no C++ compiler, or Python's headers are missing.
    """
    needed = "mmcv's operators have to be compiled, and there"
    if shutil.which(compiler()[0]) is None:
        raise SetupError(
            f'{needed} is no C++ compiler `{compiler()[0]}`: install one (Debian and Ubuntu: apt install g++), '
            'or name it: CXX=/path/to/compiler make setup'
        )
    if not (Path(include) / 'Python.h').exists():
        version = Path(include).name
        raise SetupError(
            f'{needed} is no Python.h in {include}: install the headers of Python (Debian and Ubuntu: '
            f'apt install {version}-dev)'
        )


def install(steps: Steps, python: Path, requirement: str) -> None:
    """Install mmcv with operators for the torch of an environment, unless it is there.

    Raises:
        SetupError: it cannot be compiled.
    """
    facts = probe(steps, python, requirement)
    target = Target(**facts['target'])
    if fits(facts, target, requirement):
        return
    # torch takes another release of its own CUDA, but no other CUDA.
    major = (facts['nvcc'] or '').partition('.')[0]
    no_nvcc = target.gpu and not facts['hip'] and major != target.gpu.partition('.')[0]
    if no_nvcc and fits(facts, replace(target, gpu=None, archs=''), requirement):
        return  # chosen once, by hiding the GPUs
    name = target.name(requirement)
    wheel = kept(name)
    if wheel is not None:
        if put(steps, python, wheel, requirement):
            steps.at(f'from {wheel.parent}', milestone=True)
            return
        shutil.rmtree(wheel.parent, ignore_errors=True)  # it is broken
    if no_nvcc:
        found = f'nvcc is of CUDA {facts["nvcc"]}' if facts['nvcc'] else 'there is no nvcc'
        raise SetupError(
            f"torch {target.torch} sees a GPU, and {found}: to compile mmcv's operators for it, install the CUDA "
            f'toolkit {target.gpu} and set CUDA_HOME to its folder; or have those for the CPU alone: {ON_CPU}'
        )
    require_compiler(facts['include'])
    with tempfile.TemporaryDirectory(prefix='mmagg-mmcv-') as work:
        time = 'much longer with those for GPUs' if target.gpu else 'about 5 minutes of one core'
        steps.at(f"compiling mmcv's operators, {time}, once on this machine", milestone=True)
        wheel = compile_wheel(steps, python, requirement, Path(work), name)
        keep(wheel.parent, name)
        if not put(steps, python, kept(name) or wheel, requirement):
            raise SetupError("mmcv's operators were compiled, but cannot be loaded: .venv/setup.log says more")


def probe(steps: Steps, python: Path, requirement: str) -> dict:
    """What there is in an environment."""
    script, name = Path(__file__).with_name('probe.py'), requirement.partition('==')[0]
    return json.loads(steps.run(python, '-I', script, name).splitlines()[-1])


def fits(facts: dict, target: Target, requirement: str) -> bool:
    """True if the installed mmcv works and was made for this target; one from elsewhere is what the user wants."""
    version = requirement.partition('==')[2]
    folder = Path(unquote(facts['source'])).parent.name
    ours = folder.startswith(prefix(requirement))
    return facts['loads'] and facts['version'] == version and (not ours or folder == target.name(requirement))


def put(steps: Steps, python: Path, wheel: Path, requirement: str) -> bool:
    """Install a wheel, in the place of what is there; True if its operators can be loaded."""
    pip = (python, '-m', 'pip', 'install', '--no-index', '--no-deps', '--force-reinstall', '--no-cache-dir')
    try:
        steps.run(*pip, '--disable-pip-version-check', wheel, PIP_USER='0')
    except CommandError:
        return False
    return probe(steps, python, requirement)['loads']


def compile_wheel(steps: Steps, python: Path, requirement: str, work: Path, name: str) -> Path:
    """The wheel, compiled in a folder for temporary files."""
    words = [str(python), str(Path(__file__).with_name('precompiled.py')), str(work), *compiler(), '--']
    command = work / 'c++'  # by torch's build, which takes one word
    command.write_text(f'#!/bin/sh\nexec {" ".join(map(shlex.quote, words))} "$@"\n')
    command.chmod(0o755)
    (work / 'temporary').mkdir()

    def show(line: str) -> None:
        found = re.match(r'\s*\[(\d+)/(\d+)\] ', line)
        if found:
            number, total = map(int, found.groups())
            slowly = ', slowly: the compiler refuses a precompiled header' if (work / 'refused').exists() else ''
            steps.at(f'compiled [{number}/{total}]{slowly}', milestone=number % 10 == 0 or number == total)

    pip = (python, '-m', 'pip', 'wheel', '-v', '--no-cache-dir', '--no-build-isolation', '--no-deps')
    try:
        steps.run(
            *pip, '--no-binary', requirement.partition('==')[0], '--wheel-dir', work / name, requirement,
            each=show, CXX=str(command), CFLAGS=flags(), MAX_JOBS=str(jobs()), TMPDIR=str(work / 'temporary'),
            PATH=f'{python.parent}{os.pathsep}{os.environ["PATH"]}',
        )  # fmt: skip
    except CommandError as error:
        raise SetupError(
            f"mmcv's operators could not be compiled{why(error.output)}; {steps.log} says more, "
            'and the next `make` tries again'
        ) from None
    (wheel,) = (work / name).glob('*.whl')
    with zipfile.ZipFile(wheel) as file:
        if not any(re.match(r'mmcv/_ext\..*so$', entry) for entry in file.namelist()):
            raise SetupError('mmcv was built without its operators')
    return wheel


def jobs() -> int:
    """Files to compile at once: MAX_JOBS, else one for each core and each GB of free memory."""
    if os.environ.get('MAX_JOBS', '').isdigit():
        return int(os.environ['MAX_JOBS'])
    try:
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # not on Linux
        return os.cpu_count() or 1
    return max(1, min(cores, memory >> 30))


def why(output: str) -> str:
    """The first error that a compiler printed."""
    if re.search(r'Killed signal|killed by signal|out of memory', output, re.IGNORECASE):
        return ': the memory did not suffice; try MAX_JOBS=1 make setup'
    found = re.search(r'^.*\berror: (?!subprocess)(.*)$', output, re.MULTILINE)
    return f': {found[1].strip()}' if found else ''
