"""The classes of a COCO data set as its config names them, compared with its file and with the model.

mmdet's `CocoDataset` numbers the categories in the order of the file, and leaves out those that the config does not
name. It takes the names from the config, in the order there. So a misspelt name is a class without objects, another
order swaps names, and a head of another size knows some classes too few, or too many.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from mmagg.datasets.class_names import SHOWN, meant_names
from mmagg.datasets.coco_sources import CocoSource
from mmagg.io.errors import InputError


def compare_classes(source: CocoSource, categories: Sequence[str], heads: Mapping[str, int]) -> None:
    """Refuse a data set whose classes are not those of its file, or not as many as a model knows.

    Args:
        source: the data set.
        categories: the names of the categories in its file, in that order.
        heads: the number of classes of each part of the model that tells classes apart, by its dotted key.

    Raises:
        InputError: names the classes, the place in the config, and what to write there.
    """
    place = f'{source.key}.metainfo.classes'
    if isinstance(source.classes, str):
        raise InputError(f"{place} is the text {source.classes!r}; one class is written ('{source.classes}',)")
    classes = [str(name) for name in source.classes or ()]
    if len(set(categories)) < len(categories):
        twice = next(name for name in categories if categories.count(name) > 1)
        raise InputError(f'{source.annotations} lists the category name {twice!r} twice; make it unique')
    if not classes:
        raise InputError(f'{place} names no class; write those of {source.annotations}: {_tuple(categories)}')
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise InputError(f'{place} names {twice!r} twice; write {_tuple(list(dict.fromkeys(classes)))}')
    there, wanted = set(categories), set(classes)
    unknown = [name for name in classes if name not in there]
    if unknown and not source.named:
        raise InputError(
            f'{source.key} does not name its classes, so that mmdet assumes the {len(classes)} of '
            f'{type(source.dataset).__name__}; {source.annotations} has others: '
            f'set {place} to {_tuple(categories)}, and num_classes to {len(categories)}'
        )
    if unknown:
        raise InputError(
            f'{place} names {", ".join(unknown[:SHOWN])}, which {source.annotations} does not have'
            f'{meant_names(unknown, [name for name in categories if name not in wanted])}; it has {_tuple(categories)}'
        )
    ordered = [name for name in categories if name in wanted]
    if classes != ordered:
        raise InputError(
            f'{place} has another order than {source.annotations}, by which mmdet numbers the labels, so that names '
            f'would be swapped: write {_tuple(ordered)}'
        )
    if source.dataset.return_classes:  # a model that reads the names
        return
    for key, number in heads.items():
        if number != len(classes):
            raise InputError(
                f'{key}.num_classes is {number}, but {source.key} has {len(classes)} classes, {_tuple(classes)}: '
                f'set it to {len(classes)}'
            )


def compare_labels(sources: Sequence[CocoSource]) -> None:
    """Refuse data sets of one config whose labels do not mean the same.

    Raises:
        InputError: names the two places.
    """
    for first, other in pairwise(sources):
        if list(first.classes) != list(other.classes):
            raise InputError(
                f'{first.key} and {other.key} have other classes, or another order of them: {_tuple(first.classes)} '
                f'and {_tuple(other.classes)}; label 0 must be the same class in both'
            )


def _tuple(names: Sequence[str]) -> str:
    """Names as a config has them, to be copied; long lists are cut."""
    if len(names) > SHOWN:
        return f'({", ".join(map(repr, names[:SHOWN]))}, …) with {len(names)} names'
    return repr(tuple(names))
