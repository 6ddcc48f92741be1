"""Docstrings as the site reads them."""

from pathlib import Path

import pytest

griffe = pytest.importorskip('griffe', reason='`make docs` installs what reads docstrings')
from docstring_marks import Marks, every  # noqa: E402

MODULE = '''"""The top.

    a*b = [c](d)

`Base`, `absent`, ``Base``.
"""
from ab import c

class Base:
    """B*Q."""

    def at(self, x_y, z):
        """At.

        Args:
            x_y, z: (B*Q, C) of
                `Base.at`.
            z: not `z`.
        """

class Child(Base):
    """C."""

    def at(self, x_y, z): ...
'''


@pytest.fixture
def module() -> griffe.Module:
    return griffe.visit('mmagg', Path('mmagg.py'), MODULE, modules_collection=griffe.ModulesCollection())


@pytest.fixture
def marked(module: griffe.Module) -> griffe.Module:
    module.modules_collection.members['mmagg'] = module
    Marks().on_package(pkg=module, loader=None)
    return module


def test_code_stays_and_stars_are_stars(marked: griffe.Module) -> None:
    assert '\n    a*b = [c](d)\n' in marked.docstring.value
    assert marked['Base'].docstring.value == r'B\*Q.'


def test_names_that_are_known_are_links(marked: griffe.Module) -> None:
    last = marked.docstring.value.splitlines()[-1]
    assert last == '<autoref optional identifier="mmagg.Base"><code>Base</code></autoref>, `absent`, ``Base``.'


def test_arguments_keep_their_names(marked: griffe.Module) -> None:
    _, section = marked['Base.at'].docstring.parse('google', warnings=False)
    assert [argument.name for argument in section.value] == ['x_y', 'z', 'z']
    first, shared, own = (argument.description for argument in section.value)
    assert first == shared
    assert first.startswith(r'(B\*Q, C) of')
    assert 'identifier="mmagg.Base.at"' in first
    assert own == 'not `z`.'


def test_a_method_that_overrides_refers_to_the_base(marked: griffe.Module) -> None:
    assert 'identifier="mmagg.Base.at"' in marked['Child.at'].docstring.value


def test_everything_public_is_documented() -> None:
    """Modules, classes, functions, methods; those that override by the base's docstring."""
    package = griffe.load(
        'mmagg', search_paths=[str(Path(__file__).resolve().parents[2])], extensions=griffe.load_extensions(Marks())
    )
    things = [
        thing
        for thing in every(package)
        if (thing.is_module or thing.is_class or thing.is_function)
        and not any(part.startswith('_') for part in thing.path.split('.'))
    ]
    assert len(things) > 1000
    assert not [thing.path for thing in things if not thing.docstring]
