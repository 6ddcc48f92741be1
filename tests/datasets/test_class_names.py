"""Names of classes: those that are the same to a reader, those that cannot be read, and those that are meant."""

import pytest

from mmagg.datasets.class_names import check_names, meant_names
from mmagg.datasets.findings import Finding, Findings


def found(*names: str) -> list[Finding]:
    findings = Findings()
    check_names(findings, {name: place + 1 for place, name in enumerate(names)})
    return findings.summary()


@pytest.mark.parametrize('twin', ['Nut', ' nut', 'nut\u00a0', 'n ut'])
def test_names_that_read_the_same_are_one_class(twin: str) -> None:
    (finding,) = found('nut', 'fig', twin)
    assert finding.severity == 'warning'
    assert finding.message.endswith(f": 1 ('nut' of 1 object and {twin!r} of 3 objects)")
    assert 'merge them in the annotation tool' in finding.message


def test_letters_may_be_composed() -> None:
    (finding,) = found('M\u00fcller', 'Mu\u0308ller')
    assert finding.message.endswith("('M\u00fcller' of 1 object and 'Mu\\u0308ller' of 2 objects)")


@pytest.mark.parametrize('names', [('cup', 'cap'), ('nut', 'nuts'), ('3 cm', '4 cm'), ('a_b', 'ab'), ('面', '線')])
def test_names_that_are_alike_are_two_classes(names: tuple[str, str]) -> None:
    assert found(*names) == []


def test_names_of_real_sets_are_sound(shared) -> None:
    from mmagg.datasets.coco_folder import class_names

    assert found(*class_names(shared / 'data/coco_open_125/annotations/instances_train.json')) == []


@pytest.mark.parametrize('name', ['', '  ', 'nut\n', 'a\r\nb'])
def test_names_that_cannot_be_read_are_said(name: str) -> None:
    (finding,) = found('fig', name)
    assert finding.severity == 'warning'
    assert finding.message.startswith('class names that are empty or have a line break')
    assert finding.message.endswith(f': 1 ({name!r} of 2 objects)')


def test_what_is_meant_by_a_name() -> None:
    assert meant_names(['hazlenut', 'FIG', 'x'], ['fig', 'hazelnut']) == (
        ' (hazlenut: did you mean hazelnut? FIG: did you mean fig?)'
    )
    assert meant_names(['x'], ['fig']) == ''
