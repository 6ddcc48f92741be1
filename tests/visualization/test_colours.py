import numpy as np

from mmagg.visualization.colours import SHADES, UNTRACKED, class_colour, instance_colours, steady_colours


def test_first_colours_differ() -> None:
    colours = np.array([class_colour(i) for i in range(24)], float)
    distance = np.linalg.norm(colours[:, None] - colours, axis=-1) + 1e3 * np.eye(24)
    assert distance.min() > 20


def test_neighbours_of_a_class_differ_as_long_as_there_are_shades() -> None:
    steps = np.arange(len(SHADES))
    chain = np.stack([20 * steps, 0 * steps, 20 * steps + 20, 0 * steps + 9], axis=1).astype(float)
    colours = instance_colours(np.zeros(len(chain), int), chain)
    assert (colours[:-1] != colours[1:]).any(axis=1).all()
    heap = np.tile([[0.0, 0, 9, 9]], (len(SHADES), 1))
    assert len(np.unique(instance_colours(np.zeros(len(heap), int), heap), axis=0)) == len(SHADES)
    other_classes = instance_colours(np.arange(len(heap)), heap)
    assert [tuple(colour) for colour in other_classes.tolist()] == [class_colour(i) for i in range(len(heap))]


def test_no_instances_have_no_colours() -> None:
    assert instance_colours(np.zeros(0, int), np.zeros((0, 4))).shape == (0, 3)


def test_colours_in_a_video_depend_on_the_object_alone() -> None:
    labels, tracks = np.array([0, 0, 3]), np.array([7, -1, 2])
    assert [tuple(colour) for colour in steady_colours(labels).tolist()] == [class_colour(label) for label in (0, 0, 3)]
    assert [tuple(colour) for colour in steady_colours(labels, tracks).tolist()] == [
        class_colour(7),
        UNTRACKED,
        class_colour(2),
    ]
    assert steady_colours(labels[:0]).shape == steady_colours(labels[:0], tracks[:0]).shape == (0, 3)
