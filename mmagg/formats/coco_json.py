"""Images with instances as COCO's JSON; masks are RLE, exact."""

from collections.abc import Sequence

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.rle.codes import rle_area


def coco_json(images: Sequence[AnnotatedImage], classes: Sequence[str]) -> dict[str, list[dict]]:
    """``images``, ``annotations`` and ``categories`` as of COCO's annotation files.

    Args:
        images: ids count them from 1.
        classes: names of the classes by label; ids count them from 1.
    """
    content: dict[str, list[dict]] = {
        'images': [],
        'annotations': [],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
    }
    for image in images:
        add_image(content, image)
    return content


def add_image(content: dict[str, list[dict]], image: AnnotatedImage) -> None:
    """Add an image and its instances to what `coco_json` has made, in place.

    An annotation has the file's and the category's name, for people and annotation tools; a score and a track only
    where the image has them.
    """
    records, annotations = content['images'], content['annotations']
    height, width = image.size
    records.append({'id': len(records) + 1, 'file_name': image.name, 'height': height, 'width': width})
    for i, label in enumerate(image.labels.tolist()):
        x1, y1, x2, y2 = image.boxes[i].astype(float).tolist()
        rle = image.masks[i]
        annotation = {
            'id': len(annotations) + 1,
            'image_id': records[-1]['id'],
            'file_name': image.name,
            'category_name': image.classes[label],
            'area': float(rle_area(rle)) if rle else (x2 - x1) * (y2 - y1),
            'iscrowd': 0,
            'category_id': label + 1,
            'bbox': [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
        }
        if image.scores is not None:
            annotation['score'] = float(image.scores[i])
        if rle:
            annotation['segmentation'] = rle
        if image.tracks is not None:
            annotation['track_id'] = int(image.tracks[i])
        annotations.append(annotation)
