"""Values of --cfg-options as they are typed."""

import argparse

import pytest

from mmagg.cli.arguments import add_cfg_options
from mmagg.io.errors import InputError
from mmagg.io.option_values import read_value


def typed(*words: str) -> dict:
    parser = argparse.ArgumentParser()
    add_cfg_options(parser, 'help')
    return parser.parse_args(['--cfg-options', *words]).cfg_options


@pytest.mark.parametrize(
    'text, value',
    [
        ("dict(type='SemanticHead', num_classes=80)", dict(type='SemanticHead', num_classes=80)),
        ('dict(type=BN, requires_grad=False, momentum=-0.1)', dict(type='BN', requires_grad=False, momentum=-0.1)),
        ("{'type': 'BN', 'eps': 1e-3}", dict(type='BN', eps=1e-3)),
        ('dict()', {}),
        (
            'dict(_delete_=True, a=dict(b=[1, (2, None)]), c=true)',
            dict(_delete_=True, a=dict(b=[1, (2, None)]), c=True),
        ),
        ("[dict(type='Resize', scale=(64, 8)), Flip]", [dict(type='Resize', scale=(64, 8)), 'Flip']),
        ('(1,dict(a=2))', (1, dict(a=2))),
    ],
)
def test_dicts(text: str, value: object) -> None:
    assert typed(f'a.b={text}', 'c=1') == {'a.b': value, 'c': 1}


def test_other_values_are_mmengines() -> None:
    words = ['a=1', 'b=[(1,2),c]', "d='x y'", 'e=None', 'f=x=dict(1)', 'g=1,2']
    assert typed(*words) == {'a': 1, 'b': [(1, 2), 'c'], 'd': 'xy', 'e': None, 'f': 'x=dict(1)', 'g': [1, 2]}


@pytest.mark.parametrize(
    'text',
    [
        'dict(a=print(1))',
        'dict(a=b.c)',
        'dict(1)',
        'dict(**a)',
        'dict(a=1',
        '{1: 2}',
        '{**a}',
        'dict(a=b"x")',
        'dict(a=1+1)',
        '[{}][0]',
        '[x for x in dict()]',
        'dict(a=' + '[' * 5000 + ']' * 5000 + ')',
        'a(b,c)',
    ],
)
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(InputError, match=r'^--cfg-options a=.*: a value is'):
        typed(f'a={text}')


def test_nothing_is_evaluated() -> None:
    with pytest.raises(ValueError, match='exit'):
        read_value('dict(a=exit())')
