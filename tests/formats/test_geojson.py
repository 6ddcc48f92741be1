"""GeoJSON: the rules of RFC 7946, and the mask that comes back."""

import json

import numpy as np
import pytest

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.geojson import geojson
from mmagg.io.errors import InputError
from mmagg.rle.codes import masks_to_rle
from mmagg.rle.polygons import polygons_to_rle, signed_area

NORTH_UP = (0.5, 0, 600000, 0, -0.5, 5800000)  # half a metre a pixel, rows run southwards


def image() -> AnnotatedImage:
    """A mask with a hole, one of two parts, an empty one, and a box."""
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:12, 3:15] = True
    masks[0, 5:8, 6:9] = False
    masks[1, 14:18, 2:4] = masks[1, 15:16, 20:25] = True
    return AnnotatedImage(
        name='a.tif',
        size=(20, 30),
        classes=('roof', 'tree'),
        labels=np.array([0, 1, 1, 0]),
        masks=[*masks_to_rle(masks), None],
        boxes=np.array([[0.0, 0, 1, 1]] * 3 + [[1.5, 2, 4, 6]]),
        scores=np.array([0.5, 0.25, 1, 0.75]),
    )


def rings(geometry: dict) -> list[list[list]]:
    """The polygons of a geometry."""
    return geometry['coordinates'] if geometry['type'] == 'MultiPolygon' else [geometry['coordinates']]


@pytest.mark.parametrize('transform', [None, NORTH_UP, (0, 0.3, 10, 0.2, 0.1, 20), (-2, 0, 0, 0, 2, 0)])
def test_rings_close_and_turn_as_the_rfc_wants(transform: tuple | None) -> None:
    found = json.loads(json.dumps(geojson(image(), transform=transform)))
    assert (found['type'], 'crs' in found) == ('FeatureCollection', False)
    kinds = [one['geometry'] and one['geometry']['type'] for one in found['features']]
    assert kinds == ['Polygon', 'MultiPolygon', None, 'Polygon']
    assert found['features'][1]['properties'] == {'image': 'a.tif', 'label': 1, 'class': 'tree', 'score': 0.25}
    numbers = np.array(transform or (1, 0, 0, 0, 1, 0), float).reshape(2, 3)
    for one, rle in zip(found['features'], image().masks, strict=True):
        polygons = [] if one['geometry'] is None else rings(one['geometry'])
        shapes = [[np.array(ring) for ring in polygon] for polygon in polygons]
        for outer, *holes in shapes:
            for ring in (outer, *holes):
                assert (ring[0] == ring[-1]).all()
                assert len(ring) >= 4
            # The shoelace formula, where y points up: positive is anticlockwise.
            assert signed_area(outer) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
        back = [[np.linalg.solve(numbers[:, :2], (ring - numbers[:, 2]).T).T for ring in shape] for shape in shapes]
        if rle is not None:
            assert polygons_to_rle(back, (20, 30)) == rle


def test_coordinates_of_a_map() -> None:
    found = geojson(image(), transform=NORTH_UP, crs='EPSG:32633')
    assert found['crs'] == {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}
    corners = found['features'][3]['geometry']['coordinates'][0]
    assert sorted(map(tuple, corners[:-1])) == [
        *((600000.75, 5799997.0), (600000.75, 5799999.0), (600002.0, 5799997.0), (600002.0, 5799999.0))
    ]


@pytest.mark.parametrize('transform', [(1, 2, 3), (1, 0, 0, 1, 0, 0), (float('nan'), 0, 0, 0, 1, 0)])
def test_what_is_no_transform_is_refused(transform: tuple) -> None:
    with pytest.raises(InputError, match='not six numbers a, b, c, d, e, f'):
        geojson(image(), transform=transform)
