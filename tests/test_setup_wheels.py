"""mmcv's operators in `make setup`: when they are compiled, how, and which wheel of the cache fits."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import mmcv_wheel
import precompiled
import pytest
from mmcv_wheel import Target
from steps import CommandError, SetupError, Steps

MMCV = 'onedl-mmcv==2.3.6'
PYTHON = Path('/clone/.venv/bin/python')
CPU = Target(torch='2.13.0+cpu', python='cpython-311-x86_64', platform='linux glibc 2.36', gpu=None, archs='')
GPU = replace(CPU, torch='2.13.0+cu130', gpu='13.0', archs='9.0')


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of wheels; no variable of the user's has a say."""
    for name in ('CFLAGS', 'CXX', 'MAX_JOBS', 'MMAGG_WHEELS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'mmagg/wheels'


def made_wheel(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    wheel = folder / 'onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl'
    with zipfile.ZipFile(wheel, 'w') as file:
        for name in files:
            file.writestr(name, '')
    return wheel


class Pip:
    """Stands in for the commands of an environment: what is installed there, and what a build gives."""

    def __init__(
        self, target: Target, *, version: str = '', source: str = '', loads: bool = False, nvcc: str | None = None
    ) -> None:
        self.target, self.version, self.source, self.loads, self.nvcc = target, version, source, loads, nvcc
        self.built: tuple[str, ...] = ('mmcv/_ext.cpython-311-x86_64-linux-gnu.so',)
        self.compiled = self.installed = 0
        self.refused = False
        self.variables: dict[str, str] = {}

    def __call__(self, steps: Steps, *command: object, each: object = None, **variables: str) -> str:
        words = [str(word) for word in command]
        if 'wheel' in words:
            self.compiled += 1
            self.variables = variables
            made_wheel(Path(words[words.index('--wheel-dir') + 1]), *self.built)
            if self.refused:
                Path(variables['CXX']).with_name('refused').touch()
            for number in range(1, 79):
                each(f'  [{number}/78] c++ -MMD …\n')
        elif 'install' in words:
            wheel = Path(words[-1])
            self.installed += 1
            if not zipfile.is_zipfile(wheel):
                raise CommandError('broken', '')
            self.version, self.source, self.loads = '2.3.6', wheel.as_uri(), bool(self.built)
        else:
            facts = dict(target=vars(self.target), nvcc=self.nvcc, hip=False, include=str(PYTHON.parent))
            return f'a warning\n{json.dumps(dict(facts, loads=self.loads, version=self.version, source=self.source))}\n'
        return ''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs by a stand-in."""
    monkeypatch.setattr('mmcv_wheel.require_compiler', lambda include: None)

    def run(pip: Pip) -> Pip:
        monkeypatch.setattr(Steps, 'run', lambda self, *words, **others: pip(self, *words, **others))
        steps = Steps(tmp_path / 'setup.log', total=1)
        with steps.step('mmcv'):
            mmcv_wheel.install(steps, PYTHON, MMCV)
        return pip

    return run


def test_it_is_compiled_once_on_a_machine(install, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = install(Pip(CPU))
    shown = capsys.readouterr().out
    assert 'about 5 minutes of one core' in shown
    assert '[78/78]' in shown
    assert first.variables['CFLAGS'] == mmcv_wheel.FLAGS
    assert install(first).installed == first.compiled == 1, 'it is there'
    assert install(Pip(CPU)).compiled == 0, 'another clone'
    assert 'from ' in capsys.readouterr().out
    assert len(list(cache.iterdir())) == 1


def test_a_umask_that_lets_the_group_write_is_no_hindrance(install) -> None:
    before = os.umask(0o002)
    try:
        assert [install(Pip(CPU)).compiled for _ in range(2)] == [1, 0]
    finally:
        os.umask(before)


def test_a_compiler_that_takes_long_is_shown(install, capsys: pytest.CaptureFixture[str]) -> None:
    pip = Pip(CPU)
    pip.refused = True
    install(pip)
    assert 'compiled [10/78], slowly: the compiler refuses a precompiled header\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    'other',
    [
        dict(torch='2.13.0'),
        dict(python='cpython-312-x86_64'),
        dict(platform='linux glibc 2.31'),
        dict(gpu='13.0'),
        dict(archs='8.0'),
    ],
    ids=str,
)
def test_other_targets_have_another_wheel(other: dict, install) -> None:
    install(Pip(CPU))
    pip = install(Pip(replace(CPU, **other), nvcc='13.1'))
    assert pip.compiled == 1
    assert CPU.name(MMCV) != replace(CPU, **other).name(MMCV)


def test_flags_and_versions_have_another_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CPU.name(MMCV)
    assert before != CPU.name('onedl-mmcv==2.3.7')
    monkeypatch.setenv('CFLAGS', '-march=native')
    assert before != CPU.name(MMCV)
    assert mmcv_wheel.flags().endswith(' -march=native')


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, install) -> None:
    monkeypatch.setenv('MMAGG_WHEELS', str(tmp_path / 'elsewhere'))
    install(Pip(CPU))
    assert list((tmp_path / 'elsewhere').glob('*/*.whl'))
    assert not (tmp_path / 'mmagg').exists()


def test_a_cache_that_cannot_be_written_to_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, install
) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('MMAGG_WHEELS', str(tmp_path / 'file/wheels'))
    assert install(Pip(CPU)).loads


def test_a_wheel_is_whole_or_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    folder = made_wheel(tmp_path / 'new').parent

    def killed(*arguments: object) -> None:
        Path(arguments[1]).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, 'copytree', killed)
    with pytest.raises(KeyboardInterrupt):
        mmcv_wheel.keep(folder, 'name')
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize('path', ['', 'name', 'name/onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl'])
def test_a_wheel_that_others_can_write_is_not_used(path: str, cache: Path) -> None:
    wheel = made_wheel(cache / 'name')
    assert mmcv_wheel.kept('name') == wheel
    (cache / path).chmod(0o777)
    assert mmcv_wheel.kept('name') is None


def test_a_broken_wheel_is_compiled_again(install, cache: Path) -> None:
    install(Pip(CPU))
    (wheel,) = cache.glob('*/*.whl')
    wheel.write_bytes(b'')
    assert install(Pip(CPU)).compiled == 1
    assert zipfile.is_zipfile(next(cache.glob('*/*.whl')))


def test_mmcv_without_operators_is_replaced(install) -> None:
    """As pip's cache may have it."""
    assert install(Pip(CPU, version='2.3.6')).compiled == 1


@pytest.mark.parametrize(
    'version, source, compiled',
    [
        ('2.3.6', f'file:///cache/{replace(CPU, torch="2.12.0+cpu").name(MMCV)}/mmcv.whl', 1),
        ('2.3.5', '', 1),
        ('2.3.6', 'file:///mine/mmcv.whl', 0),  # what the user has put there
        ('2.3.6', '', 0),
    ],
)
def test_one_of_another_torch_or_version_is_replaced(version: str, source: str, compiled: int, install) -> None:
    assert install(Pip(CPU, version=version, source=source, loads=True)).compiled == compiled


def test_a_build_without_operators_is_not_kept(install, cache: Path) -> None:
    pip = Pip(CPU)
    pip.built = ()
    with pytest.raises(SetupError, match='without its operators'):
        install(pip)
    assert not cache.exists()


def test_a_gpu_without_its_compiler_is_said_before_compiling(install) -> None:
    pip = Pip(GPU)
    with pytest.raises(SetupError) as caught:
        install(pip)
    assert str(caught.value) == (
        "torch 2.13.0+cu130 sees a GPU, and there is no nvcc: to compile mmcv's operators for it, "
        'install the CUDA toolkit 13.0 and set CUDA_HOME to its folder; '
        'or have those for the CPU alone: CUDA_VISIBLE_DEVICES=-1 make setup'
    )
    assert pip.compiled == 0
    hidden = install(Pip(replace(GPU, gpu=None, archs='')))  # as the line says
    assert hidden.compiled == 1
    hidden.target = GPU
    assert install(hidden).compiled == 1, 'it stays, without the variable'
    pip.nvcc = '12.4'
    with pytest.raises(SetupError, match=r'and nvcc is of CUDA 12\.4: '):
        install(pip)
    hidden.nvcc = '13.1'
    assert install(hidden).compiled == 2


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('CXX', '/no/compiler -v')
    with pytest.raises(SetupError, match='no C\\+\\+ compiler `/no/compiler`: install one'):
        mmcv_wheel.require_compiler(str(tmp_path))
    monkeypatch.setenv('CXX', sys.executable)
    with pytest.raises(SetupError, match=r'no Python\.h in .*apt install python3\.11-dev'):
        mmcv_wheel.require_compiler(str(tmp_path / 'python3.11'))


@pytest.mark.parametrize(
    'output, reason',
    [
        ("a.cpp:1:2: error: 'x' was not declared\nerror: subprocess-exited-with-error\n", ": 'x' was not declared"),
        (
            'c++: fatal error: Killed signal terminated program cc1plus\n',
            ': the memory did not suffice; try MAX_JOBS=1',
        ),
        ('', ''),
    ],
)
def test_the_reason_of_a_failed_build_is_named(output: str, reason: str) -> None:
    assert mmcv_wheel.why(output).startswith(reason)


def test_jobs_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= mmcv_wheel.jobs() <= os.cpu_count()
    monkeypatch.setenv('MAX_JOBS', '7')
    assert mmcv_wheel.jobs() == 7


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that compiles only if the header was read before it."""
    monkeypatch.setattr(precompiled, 'HEADERS', '#include <cstddef>\n')
    path = tmp_path / 'a file.cpp'
    path.write_text('#ifdef PLAIN\n#include <cstddef>\n#endif\nstd::size_t size() { return 1; }\n')
    return path


def arguments(source: Path, *more: str) -> list[str]:
    """As torch's build gives them."""
    out = source.with_suffix('.o')
    return ['-MMD', '-MF', f'{out}.d', '-fPIC', '-c', '-c', str(source), '-o', str(out), *more]


@pytest.mark.skipif(shutil.which('c++') is None, reason='needs a C++ compiler')
def test_files_begin_with_the_precompiled_header(source: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert precompiled.main(tmp_path, ['c++'], arguments(source, '-Winvalid-pch', '-Werror')) == 0
    assert source.with_suffix('.o').exists()
    assert (tmp_path / 'headers.h.gch').exists()


@pytest.mark.skipif(shutil.which('c++') is None, reason='needs a C++ compiler')
def test_without_the_header_files_are_compiled_as_they_are(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precompiled, 'HEADERS', '#error\n')
    assert precompiled.main(tmp_path, ['c++'], arguments(source)) == 1
    assert precompiled.main(tmp_path, ['c++'], arguments(source, '-DPLAIN')) == 0
    assert not (tmp_path / 'headers.h.gch').exists()


def test_what_does_not_compile_is_passed_on(tmp_path: Path) -> None:
    script = tmp_path / 'c++'
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.said"\nexit 5\n')
    script.chmod(0o755)
    done = subprocess.run([sys.executable, precompiled.__file__, tmp_path, script, '-m64', '--', 'a b.o', '-shared'])
    assert done.returncode == 5
    assert (tmp_path / 'c++.said').read_text().splitlines() == ['-m64', 'a b.o', '-shared']
    assert not (tmp_path / 'headers.h').exists()
