"""A command's defaults, which its help names, are those of the function that it calls."""

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from mmagg.cli import boxes_to_masks, browse, fit_mask_codec, mask_voting, show_bases, show_representations
from mmagg.experiments import boxes_to_masks as filling
from mmagg.experiments import fit_mask_codec as fitting
from mmagg.experiments import mask_voting as search
from mmagg.inside import browse as browsing
from mmagg.inside import show_bases as bases
from mmagg.inside import show_representations as representations
from mmagg.models.masks.boxed.mask_codec import SIGMOIDS


@pytest.mark.parametrize(
    'command, function',
    [
        (show_bases, bases.show_bases),
        (show_representations, representations.show_representations),
        (browse, browsing.browse),
        (mask_voting, search.mask_voting),
        (boxes_to_masks, filling.boxes_to_masks),
        (fit_mask_codec, fitting.fit_mask_codec),
    ],
)
def test_defaults(command: ModuleType, function: Callable) -> None:
    parser = command.parser()
    given = {action.dest: action.default for action in parser._actions}
    shared = {name: x.default for name, x in inspect.signature(function).parameters.items() if name in given}
    assert len(shared) > 5
    for name, default in shared.items():
        if default is not inspect.Parameter.empty:
            assert given[name] == default, name


def test_choices_of_codecs() -> None:
    choices = {action.dest: action.choices for action in fit_mask_codec.parser()._actions}
    assert choices['codec'] == tuple(fitting.CODECS)
    assert choices['sigmoid'] == SIGMOIDS
