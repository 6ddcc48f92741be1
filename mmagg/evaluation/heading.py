"""What an analysis says of its input."""

from typing import Any

from mmagg.datasets.coco_objects import Detections, Truth


def heading(args: Any, truth: Truth, detections: Detections) -> dict[str, Any]:
    """The files, and how much is in them."""
    return {
        'annotations': str(args.annotations),
        'results': str(args.results),
        'iou_type': args.iou_type,
        'images': len(truth.image_ids),
        'objects': int((~truth.objects.crowd).sum()),
        'detections': len(detections),
    }
