"""Specs that no net has, and inputs that do not fit the net: named, in each form, before anything is computed."""

import random

import pytest
import torch

from mmagg.ops import DynamicConvSpec, dynamic_conv_native, dynamic_conv_of_gathered
from mmagg.ops.dynamic_conv import as_dense_convolutions

ERRORS = (ValueError, TypeError, IndexError, RuntimeError)


@pytest.mark.parametrize(
    'options',
    [
        dict(kernel_size=2),
        dict(kernel_size=0),
        dict(kernel_size=-1),
        dict(num_layers=0),
        dict(channels=0),
        dict(in_channels=0),
    ],
    ids=str,
)
def test_no_such_net(options) -> None:
    with pytest.raises(ValueError, match='odd kernel size'):
        DynamicConvSpec(**{'in_channels': 3, **options})


def inputs(spec: DynamicConvSpec) -> dict[str, torch.Tensor]:
    """Of a net with two gathered maps and one shared one."""
    return dict(
        maps=torch.rand(5, 4, 6),
        index=torch.randint(0, 5, (3, 2)),
        shared=torch.rand(1, 8, 12),
        params=torch.rand(3, spec.num_params),
    )


@pytest.mark.parametrize(
    ('changes', 'error', 'words'),
    [
        (dict(shared=torch.rand(2, 8, 12)), ValueError, '2 gathered and 2 shared maps'),
        (dict(index=torch.zeros(3, 1).long()), ValueError, '1 gathered and 1 shared maps'),
        (dict(params=torch.rand(3, 10)), ValueError, r'params \(3, 10\), but 3 instances .* have \(3, 297\)'),
        (dict(params=torch.rand(2, 297)), ValueError, r'params \(2, 297\), but 3 instances'),
        (dict(params=torch.rand(3, 1, 297)), ValueError, 'have 3, 2, 3 and 2 dimensions'),
        (dict(maps=torch.rand(5, 0, 6)), ValueError, r'maps of \(0, 6\) and \(8, 12\) pixels'),
        (dict(shared=torch.rand(1, 8, 0)), ValueError, r'maps of \(4, 6\) and \(8, 0\) pixels'),
        (dict(index=torch.zeros(3, 2)), TypeError, 'indices are torch.float32'),
        (dict(index=torch.zeros(3, 2).bool()), TypeError, 'indices are torch.bool'),
        (dict(index=torch.full((3, 2), 5)), IndexError, 'indices from 5 to 5 into 5 maps'),
        (dict(index=torch.full((3, 2), -1)), IndexError, 'indices from -1'),
        (dict(maps=torch.rand(0, 4, 6)), IndexError, 'into 0 maps'),
    ],
)
@pytest.mark.parametrize('backend', ['torch', None])
def test_what_does_not_fit_is_named(changes, error, words, backend) -> None:
    spec = DynamicConvSpec(3)
    with pytest.raises(error, match=words), torch.no_grad():
        dynamic_conv_of_gathered(**{**inputs(spec), **changes}, spec=spec, backend=backend)


def mutated(tensor: torch.Tensor, dice: random.Random) -> torch.Tensor:
    """Another shape, type, layout or content."""
    dim = dice.randrange(tensor.dim()) if tensor.dim() else 0
    changes = [
        lambda x: x.narrow(dim, 0, max(x.shape[dim] - dice.randint(1, 3), 0)),
        lambda x: torch.cat([x, x], dim),
        lambda x: x.narrow(dim, 0, 0),
        lambda x: x[None],
        lambda x: x.select(dim, 0),
        lambda x: x.transpose(0, dim),
        lambda x: x.to(dice.choice([torch.int32, torch.uint8, torch.float64, torch.half, torch.bool, torch.int64])),
        lambda x: x.flip(dim),
        lambda x: torch.stack([x, x], -1)[..., 0],
        lambda x: x + dice.choice([-1, 1, 4, 2**31, 2**33]),
        lambda x: x.narrow(dim, 0, 1).expand_as(x),
    ]
    return dice.choice(changes)(tensor)


@pytest.mark.skipif(dynamic_conv_native.library() is None, reason='no C++ compiler here')
@torch.no_grad()
def test_the_compiled_form_takes_only_what_torch_takes() -> None:
    """It is called past the choice of a form, and torch's form is called without any check."""
    dice, ran = random.Random(0), 0
    for _ in range(300):
        spec = DynamicConvSpec(3, channels=dice.randint(1, 5), kernel_size=dice.choice([1, 3]))
        given = inputs(spec)
        for name in dice.choices(list(given), k=dice.randint(1, 2)):
            try:
                given[name] = mutated(given[name], dice)
            except ERRORS:  # nothing left to change
                continue
        try:
            ours, _ = dynamic_conv_native.dynamic_conv_of_gathered(**given, spec=spec)
        except ERRORS:
            continue
        ran += 1
        if len(ours):
            want = as_dense_convolutions(*given.values(), spec)
            torch.testing.assert_close(ours, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()), equal_nan=True)
    assert 50 < ran < 200
