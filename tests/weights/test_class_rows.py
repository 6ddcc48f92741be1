"""Rows of classes: told by the shapes, taken by names."""

import torch

from mmagg.weights.class_rows import ClassRows, by_name, class_rows, same_classes


def shapes(classes: int) -> dict[str, torch.Size]:
    sizes = {
        'head.conv_cls.weight': (classes, 8, 3, 3),
        'head.conv_cls.bias': (classes,),
        'roi.fc_cls.weight': (classes + 1, 8),
        'roi.fc_reg.bias': (4 * classes,),
        'head.anchors.weight': (3 * classes, 8),  # three anchors a cell, each with all classes
        'mask_head.semantic.conv_logits.bias': (classes + 1,),
        'neck.weight': (8, 8),
    }
    return {key: torch.Size(size) for key, size in sizes.items()}


def test_what_grows_with_the_classes() -> None:
    assert class_rows(shapes(5), shapes(6), 5) == {
        'head.conv_cls.weight': ClassRows(1, 0, 0, True),
        'head.conv_cls.bias': ClassRows(1, 0, 0, True),
        'roi.fc_cls.weight': ClassRows(1, 0, 1, True),
        'roi.fc_reg.bias': ClassRows(4, 0, 0, True),
        'head.anchors.weight': ClassRows(3, 0, 0, False),
        'mask_head.semantic.conv_logits.bias': ClassRows(1, 1, 0, True),
    }
    assert ClassRows(4, 0, 1, True).number(9) == 2
    assert ClassRows(4, 0, 1, True).number(8) is None


def test_names() -> None:
    assert same_classes(['Traffic_light', 'nut', 'dog'], ['dog', 'cat', 'traffic light']) == {0: 2, 2: 0}
    assert same_classes(['nut'], ['dog']) == {}
    assert same_classes(['nuß'.upper(), 'gru\u0308n'], ['grün', 'nuß']) == {0: 1, 1: 0}


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    assert same_classes(['date', 'Fig', 'fig'], ['Fig', 'fig']) == {1: 0, 2: 1}
    assert same_classes(['FIG'], ['Fig', 'fig']) == {0: 0}


def test_rows_by_name() -> None:
    pairs = {0: 2, 2: 0}  # as above
    ours, theirs = -torch.ones(4, 2), torch.arange(8.0).view(4, 2)
    assert by_name(ClassRows(1, 0, 1, True), ours, theirs, pairs).tolist() == [[4, 5], [-1, -1], [0, 1], [6, 7]]
    assert by_name(ClassRows(1, 1, 0, True), ours, theirs, pairs).tolist() == [[0, 1], [6, 7], [-1, -1], [2, 3]]
    assert (ours == -1).all()
    boxes = by_name(ClassRows(2, 0, 0, True), -torch.ones(6), torch.arange(8.0), {0: 3})
    assert boxes.tolist() == [6, 7, -1, -1, -1, -1]
    assert by_name(ClassRows(1, 0, 0, True), -torch.ones(3), torch.arange(8.0), {}).tolist() == [-1] * 3
