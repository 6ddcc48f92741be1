"""The public weights that have names here: those that our metafiles list, MMDetection's, and backbones of ImageNet.

MMDetection's are read from the metafiles of the one that is installed, as its addresses differ between distributions.
Nothing is built and nothing is fetched for this.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from mmagg import config
from mmagg.io.errors import InputError

FAMILIES = ('solo', 'solov2', 'mask_rcnn', 'cascade_rcnn', 'htc', 'fcos')  # of MMDetection
CLOSED = re.compile(r'\bclosed\b')  # of a source's status
NEAR = 3  # names that a message offers
MMDET = {
    'Code': 'https://github.com/open-mmlab/mmdetection',
    'Licence': 'unknown; of the code Apache-2.0',
    'Status': 'not tried',
}
# Backbones by the names that configs give them (`init_cfg`), and what they are.
BACKBONES = {
    'torchvision://resnet50': 'ResNet(depth=50)',
    'torchvision://resnet101': 'ResNet(depth=101)',
    'open-mmlab://detectron2/resnet50_caffe': "ResNet(depth=50, style='caffe')",
    'open-mmlab://detectron2/resnet101_caffe': "ResNet(depth=101, style='caffe')",
    'open-mmlab://resnext101_64x4d': 'ResNeXt(depth=101, groups=64, base_width=4)',
    'open-mmlab://detectron2/resnext101_32x8d': 'ResNeXt(depth=101, groups=32, base_width=8)',
    'mmagg://efficientnet-lite0': 'EfficientNetLite()',
}


@dataclass(frozen=True)
class Weights:
    """Weights that have a name.

    Attributes:
        name: e.g. ``mmdet/solo_r50_fpn_3x_coco``.
        config: the one they fit, e.g. ``mmagg::solo/solo_r50_fpn_3x_coco.py``.
        urls: where the file is, the likeliest place first.
        sha256: how the file's hash begins; '' where it is not known.
        options: what the config needs for them, as typed after ``--cfg-options``.
        code: the address of the project they are of.
        licence: as the project states it.
        terms: of use, in a few words; '' where none are stated.
        status: what is known of the addresses.
    """

    name: str
    config: str
    urls: tuple[str, ...]
    sha256: str
    options: tuple[str, ...]
    code: str
    licence: str
    terms: str
    status: str

    @property
    def file(self) -> str:
        """The name of the file in the cache: its own, or one made of the name where the address has none."""
        own = Path(self.urls[0]).name
        return own if own.endswith(('.pth', '.pkl')) else f'{self.name.replace("/", "_")}.pth'


@cache
def catalogue() -> dict[str, Weights]:
    """All named weights of whole models, by name."""
    found: dict[str, Weights] = {}
    for one in (*_ours(), *_mmdets()):
        if known := found.get(one.name):  # another place of the same weights; one that is closed comes last
            first, second = sorted((known, one), key=lambda place: CLOSED.search(place.status) is not None)
            one = replace(first, urls=(*first.urls, *second.urls))
        found[one.name] = one
    return found


def named(name: str, *, flag: str = '--weights') -> Weights:
    """The weights of a name, which may go without its first part: the config's, of which the first source is taken.

    Args:
        name: e.g. ``mmdet/solo_r50_fpn_3x_coco``.
        flag: that was given the name; `--weights` takes files as well.

    Raises:
        InputError: there are none; with the nearest names.
    """
    known = catalogue()
    for one in known.values():
        if name in (one.name, one.name.partition('/')[2]):
            return one
    short = {one.partition('/')[2]: one for one in reversed(known)}
    near = [short.get(match, match) for match in get_close_matches(name, [*known, *short], n=NEAR)]
    held = (one for one in known if name.lower() in one.lower())
    near = near or sorted(held, key=lambda one: (CLOSED.search(known[one].status) is not None, len(one)))[:NEAR]
    meant = f'did you mean {" or ".join(dict.fromkeys(near))}?' if near else '`mmagg weights` lists the names'
    fault = 'no such file, and no such name' if flag == '--weights' else 'no weights have this name'
    raise InputError(f'{flag} {name}: {fault}; {meant}')


def fitting(config: str) -> list[str]:
    """The names of weights for a config of this stem."""
    return [one.name for one in catalogue().values() if Path(one.config).stem == config]


def _ours() -> Iterator[Weights]:
    for path in sorted(Path(config('solo/metafile.yml')).parents[1].glob('*/metafile.yml')):
        content = _read(path)
        sources = content['Collections'][0].get('Sources', {})
        for model in content['Models']:
            for entry in model.get('Converted From', []):
                source = sources[entry['Source']] | {key: entry[key] for key in ('Status',) if key in entry}
                yield _weights(
                    f'{source["Prefix"]}/{model["Name"]}',
                    model['Config'].replace('configs/', 'mmagg::'),
                    entry['Weights'],
                    source,
                    options=entry.get('Options', ''),
                )


def _mmdets() -> Iterator[Weights]:
    spec = find_spec('mmdet')
    if spec is None or spec.origin is None:
        return
    listed = {one.urls[0].rpartition('/')[2] for one in _ours()}
    for family in FAMILIES:
        path = Path(spec.origin).parent / f'.mim/configs/{family}/metafile.yml'
        for model in _read(path)['Models'] if path.is_file() else ():
            url = model.get('Weights')
            if url and url.rpartition('/')[2] not in listed:
                place = model['Config'].replace('configs/', 'mmdet::')
                yield _weights(f'mmdet/{model["Name"]}', place, url, MMDET)


def _weights(name: str, config: str, url: str, source: dict[str, str], *, options: str = '') -> Weights:
    stated = re.search(r'-([0-9a-f]{8})\.pth$', url)  # as MMDetection names its files
    drive = re.match(r'https://drive\.google\.com/file/d/([\w-]+)', url)  # a page about the file
    return Weights(
        name=name,
        config=config,
        urls=(f'https://drive.usercontent.google.com/download?id={drive[1]}&confirm=t' if drive else url,),
        sha256=stated[1] if stated else '',
        options=tuple(options.split()),
        code=source['Code'],
        licence=source['Licence'],
        terms=source.get('Terms', ''),
        status=source['Status'],
    )


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding='utf-8'), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
