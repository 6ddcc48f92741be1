"""The files that wheel and sdist bring: the package, with configs and tools where mmengine and mim look for them."""

import re
from pathlib import Path

import pytest
from setuptools import Distribution

import mmagg

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {'tools/fuzz.py'}  # it runs the tests


@pytest.fixture
def distribution(monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """That of setup.cfg."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution({'script_name': 'setup.py'})
    distribution.parse_config_files()
    return distribution


@pytest.fixture
def packed(distribution: Distribution) -> set[str]:
    """The files of a wheel."""
    command = distribution.get_command_obj('build_py')
    command.ensure_finalized()
    command.build_lib = ''
    return {Path(name).as_posix() for name in command.get_outputs(include_bytecode=False)}


def files(folder: str, *suffixes: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob('*')
        if path.suffix in suffixes and path.is_file()
    }


def test_configs_and_tools_lie_where_mim_looks(packed: set[str]) -> None:
    expected = {'model-index.yml', *files('configs', '.py', '.yml', '.md'), *files('tools', '.py', '.sh')} - LEFT_OUT
    assert {name for name in packed if '.mim' in name} == {f'mmagg/.mim/{name}' for name in expected}


def test_the_package_is_whole(packed: set[str]) -> None:
    expected = files('mmagg', '.py', '.cpp', '.jinja', '.typed')
    assert {name for name in packed if '.mim' not in name} == expected
    assert 'mmagg/py.typed' in expected


def test_there_is_one_version(distribution: Distribution) -> None:
    assert distribution.get_version() == mmagg.__version__
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmagg.__version__)


def test_links_of_a_clone_lead_to_its_files() -> None:
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (ROOT / 'mmagg/.mim' / name).resolve() == ROOT / name
