"""The images that a data set's `filter_cfg` and `indices` leave out, counted before it is built."""

from dataclasses import dataclass
from textwrap import shorten

from mmdet.datasets import CocoDataset

from mmagg.datasets.coco_file import BAD, CocoFile
from mmagg.datasets.coco_sources import CocoSource
from mmagg.io.errors import InputError


@dataclass(frozen=True)
class LeftOut:
    """What `filter_cfg` does to a data set.

    Attributes:
        source: the data set.
        images: the number of its images.
        small: images whose shorter side is below `min_size`.
        empty: other images without an annotation of the classes; none where `filter_empty_gt` keeps them.
    """

    source: CocoSource
    images: int
    small: int
    empty: int

    @property
    def everything(self) -> bool:
        """True if no image is left, of some."""
        return 0 < self.images == self.small + self.empty

    def __str__(self) -> str:
        """One line, with what to change where no image is left."""
        found = self.small + self.empty
        key = f'{self.source.key}.filter_cfg'
        share = f'all {self.images}' if self.everything else f'{found} of {self.images}'
        size = self.source.dataset.filter_cfg.get('min_size', 0)
        changes = [f'{key}.min_size to 0'] * bool(self.small) + [f'{key}.filter_empty_gt to False'] * bool(self.empty)
        what_to_do = f'; set {" and ".join(changes)}' if self.everything else ''
        if self.empty == self.images:
            what_to_do = (
                f'; annotate some, there is nothing to learn from (to look at them{what_to_do.replace(";", ",")})'
            )
        return (
            f'{share} images of {self.source.annotations} are left out by {key}: {self.small} smaller than {size} '
            f'pixels, {self.empty} without objects of its classes{what_to_do}'
        )


def check_indices(found: LeftOut) -> None:
    """Refuse `indices` of a data set that choose no image, or one that is not there.

    Args:
        found: what `filter_cfg` does to it; they choose from the other images.

    Raises:
        InputError: names the place in the config.
    """
    chosen, left = found.source.dataset._indices, found.images - found.small - found.empty
    if chosen is None or left == 0:
        return
    place = f'{found.source.key}.indices is {shorten(str(chosen), 60, placeholder=" …")}'
    if isinstance(chosen, int):
        if chosen == 0:
            raise InputError(f'{place}, which leaves no image; a number takes the first of the {left} images, None all')
    elif not len(chosen) or min(chosen) < -left or max(chosen) >= left:
        raise InputError(f'{place}, but there are {left} images, numbered from 0; an empty list leaves none')


def left_out(source: CocoSource, content: CocoFile) -> LeftOut:
    """Count what `CocoDataset.filter_data` leaves out.

    Any annotation of a named class makes an image count as one with objects, also a crowd or an empty box.

    Args:
        source: the data set.
        content: its annotation file.
    """
    dataset, images = source.dataset, content.images
    rule = dataset.filter_cfg
    if dataset.test_mode or not rule or type(dataset).filter_data is not CocoDataset.filter_data:
        return LeftOut(source, len(images), 0, 0)
    try:
        known = set(content.category_ids(source.classes))
        with_objects = {entry['image_id'] for entry in content.annotations if entry['category_id'] in known}
        small = [min(image['width'], image['height']) < rule.get('min_size', 0) for image in images]
        empty = [rule.get('filter_empty_gt', False) and image['id'] not in with_objects for image in images]
    except BAD:  # the check of the file says what is wrong with its entries
        return LeftOut(source, len(images), 0, 0)
    return LeftOut(source, len(images), sum(small), sum(e and not s for s, e in zip(small, empty, strict=True)))
