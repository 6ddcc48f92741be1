"""tools/doctor.py, with everything in place and with nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmagg.cli import doctor
from mmagg.cli.doctor import PACKAGES
from mmagg.cli.main import COMMANDS, run

# A Python without any package installed, and mmagg's folder as the place of the tools.
BARE = [sys.executable, '-S', '-E']


def test_names_what_is_here(capsys) -> None:
    assert run(COMMANDS['doctor'], []) == 0
    out = capsys.readouterr().out
    assert 'This environment can train.' in out
    assert 'mmcv ops          work' in out
    assert all(package.module in out for package in PACKAGES)


def test_names_the_commands_that_fix_a_bare_python(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*BARE, str(root / 'tools/doctor.py')],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={'PATH': os.environ['PATH']},
    )
    assert done.returncode == 1, done.stderr
    for package in PACKAGES:
        assert package.command in done.stdout
    assert 'cannot train yet' in done.stdout


def test_a_broken_extension_is_named(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmcv.ops

    def broken(*args: object) -> None:
        raise RuntimeError('undefined symbol')

    monkeypatch.setattr(mmcv.ops, 'nms', broken)
    assert run(COMMANDS['doctor'], []) == 1
    out = capsys.readouterr().out
    assert 'the compiled ops do not work: RuntimeError: undefined symbol' in out
    assert '--force-reinstall' in out


@pytest.mark.parametrize('provider, version', [('onedl-mmcv', 'onedl-mmcv=='), ('mmcv', "'mmcv>=2.1,<2.2'")])
def test_an_mmcv_without_operators_is_named(provider, version, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmcv.ops

    def absent(*args: object) -> None:
        raise ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext')

    monkeypatch.setattr(mmcv.ops, 'nms', absent)
    monkeypatch.setattr(doctor.metadata, 'packages_distributions', lambda: {'mmcv': [provider]})
    assert not doctor._compiled_ops_work()
    out = capsys.readouterr().out
    assert 'built where torch was not installed' in out
    assert version in out
    assert all(option in out for option in ('--no-build-isolation', '--no-cache-dir', '--force-reinstall'))


def test_the_other_tools_point_to_it(root: Path, tmp_path: Path) -> None:
    done = subprocess.run([*BARE, str(root / 'tools/train.py'), 'x.py'], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'tools/doctor.py' in done.stderr
