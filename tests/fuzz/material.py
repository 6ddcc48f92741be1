"""The sound inputs: a data set, results, a config, checkpoints. Made once by the commands themselves."""

import hashlib
import json
import pickle
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fuzz import checkpoint_edits
from fuzz.isolation import run_all
from fuzz.targets import EXPORTS

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
_base_ = '{root}/configs/demo/solo_tiny_shapes.py'
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
channels, tower = 16, dict(channels=16, num_convs=1)
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=[16, 32], out_channels=channels),
    mask_head=dict(in_channels=channels, grids=(6,), class_tower=tower, mask_branch=tower),
    test_cfg=dict(score_thr=0.0, filter_thr=0.0, max_per_img=10),
)
"""
BOXED = """
_base_ = '{root}/configs/demo/blendmask_tiny_shapes.py'
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=[16, 32]),
    test_cfg=dict(score_thr=0.0, max_per_img=10),
)
"""
CODED = BOXED.replace('blendmask', 'meinst')


@dataclass(frozen=True)
class Material:
    """The folder of the sound inputs, and what edits are drawn from."""

    folder: Path

    @cached_property
    def documents(self) -> dict[str, Any]:
        """The content of the JSON files, by their paths; a log is none."""
        files = (path for path in sorted(self.folder.rglob('*.json')) if path.parent.name != 'vis_data')
        return {str(path.relative_to(self.folder)): json.loads(path.read_text()) for path in files}

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """The configs, by their files' names."""
        from mmengine.config import Config

        files = {name: Config.fromfile(self.folder / name).to_dict() for name in ('config.py', 'boxed.py', 'coded.py')}
        return files | {'config.json': files['config.py']}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of the files, by their paths."""
        files = sorted(p for p in self.folder.rglob('*') if p.is_file())
        return {str(p.relative_to(self.folder)): p.stat().st_size for p in files}

    @cached_property
    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """The checkpoints of models with boxes by their files' names, and a training's for any other file."""
        sound = {name: checkpoint_edits.read(self.folder / name) for name in ('boxed.pth', 'coded.pth', 'released.pth')}
        trained = checkpoint_edits.read(self.folder / 'checkpoint.pth')
        return defaultdict(lambda: trained, sound)

    def __hash__(self) -> int:
        return hash(self.folder)


def make_material(folder: Path) -> Material:
    """Make the sound inputs in ``folder``, which must not be there.

    Raises:
        RuntimeError: a command failed.
    """
    from mmagg.demo.shapes import write_shapes

    folder.mkdir()
    data, work = folder / 'data', folder / 'work'
    _in_its_own_process(lambda: write_shapes(data, images=2, val_images=2, size=48, seed=0))
    for name in EXPORTS:
        _run('convert-data', data, folder / 'exports' / name, '--to', name)
    for file in sorted(data.glob('annotations/*.json')):
        file.write_text(json.dumps(_varied(json.loads(file.read_text()))))
    (folder / 'config.py').write_text(SMALL.format(root=ROOT))
    _run('train', folder / 'config.py', '--coco', data, '--work-dir', work)
    for source, target in (('config.py', 'config.py'), ('epoch_1.pth', 'checkpoint.pth')):
        shutil.copyfile(work / source, folder / target)
    arguments = [folder / 'config.py', folder / 'checkpoint.pth', '--coco', data, '--work-dir', folder / 'test']
    _run('test', *arguments, '--out', folder / 'results.json')
    _leave(folder, work)
    (folder / 'results.json').write_text(json.dumps(json.loads((folder / 'results.json').read_text())[::3]))
    (folder / 'lvis.json').write_text(
        json.dumps(_as_lvis(json.loads((data / 'annotations/instances_val.json').read_text())))
    )
    for name, text in (('boxed.py', BOXED), ('coded.py', CODED)):
        (folder / name).write_text(text.format(root=ROOT))
    for name in ('boxed.py', 'coded.py'):
        content = Material(folder).configs[name]
        (folder / name).write_text('\n'.join(f'{key} = {value!r}' for key, value in content.items()) + '\n')
    _in_its_own_process(lambda: _write_weights(folder))
    as_json = json.dumps(Material(folder).configs['config.json'])
    as_json = re.sub(r'"scale": \[(\d+), \d+\]', r'"scale": \1', as_json)  # a list is no size for mmdet
    (folder / 'config.json').write_text(as_json)
    return Material(folder)


def _leave(folder: Path, work: Path) -> None:
    """What earlier calls have left in folders for results: a training, two that were compared, a data set."""
    left, test = folder / 'left', folder / 'test'
    log = '{}/vis_data/scalars.json'.format
    started = next(work.glob(log('*'))).parents[1].name
    for file in ('config.py', 'epoch_1.pth', 'curves.png', 'curves.csv', log(started)):
        target = left / 'run' / file.replace(started, '20260101_000000')
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / file, target)
    (left / 'run/last_checkpoint').write_text('/elsewhere/run/epoch_1.pth')
    claim = {'cfg_options': [], 'config': hashlib.sha256((folder / 'config.py').read_bytes()).hexdigest()}
    for seed in (0, 1):
        run = left / f'runs/config/seed-{seed}'
        (run / 'test').mkdir(parents=True)
        shutil.copyfile(test / 'metrics.json', run / 'test/metrics.json')
        (run / 'run.json').write_text(json.dumps(claim))
    shutil.copytree(folder / 'data', left / 'data')
    for done in (work, test):
        shutil.rmtree(done)


def _varied(coco: dict) -> dict:
    """Annotations of each form: polygons, run lengths, compressed ones, a crowd, none."""
    from pycocotools import mask

    sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
    for place, annotation in enumerate(coco['annotations']):
        height, width = sizes[annotation['image_id']]
        if place % 3 == 0:
            annotation['segmentation'] = [[4, 4, 20, 4, 20, 20.5, 4, 20], [30, 30, 40, 30, 35, 40]]
            annotation['bbox'] = [4, 4, 36, 36]
        elif place % 3 == 1:
            annotation['segmentation'] = {
                'size': [height, width],
                'counts': [height, 200, height * width - 200 - height],
            }
            annotation['bbox'] = [1, 0, 5, height]
            annotation['iscrowd'] = int(place == 1)
        elif isinstance(annotation['segmentation'], list):
            rle = mask.merge(mask.frPyObjects(annotation['segmentation'], height, width))
            annotation['segmentation'] = {'size': [height, width], 'counts': rle['counts'].decode()}
    return coco


def _as_lvis(coco: dict) -> dict:
    synsets = ['person.n.01', 'bicycle.n.01', 'car.n.01', 'frank.n.02', 'none.n.01']
    lists = {'neg_category_ids': [4], 'not_exhaustive_category_ids': [1]}
    categories = [{**c, 'synset': s, 'frequency': 'f'} for c, s in zip(coco['categories'], synsets, strict=True)]
    return {**coco, 'categories': categories, 'images': [{**image, **lists} for image in coco['images']]}


def _write_weights(folder: Path) -> None:
    """The weights alone, as PyTorch and as Detectron2 write them, and those of a model with boxes, untrained."""
    import torch
    from mmdet.registry import MODELS

    from mmagg.apis import load_config
    from mmagg.costs.published import RECONSTRUCTION_DIMS
    from mmagg.models.masks.boxed.pca_codec import Dictionary

    sound = checkpoint_edits.read(folder / 'checkpoint.pth')
    weights = sound['state_dict']
    Dictionary.assumed(28, RECONSTRUCTION_DIMS).write(folder / 'codec.npz')
    for name, dictionary in (
        ('boxed', {}),
        ('coded', {'model.mask_head.masks.codec.dictionary': folder / 'codec.npz'}),
    ):
        state = MODELS.build(load_config(folder / f'{name}.py', dictionary).model).state_dict()
        state['mask_head.boxes.conv_box.bias'].fill_(2.0)  # boxes of some size, so that something is found
        meta = {'dataset_meta': sound['meta']['dataset_meta']}
        torch.save({'state_dict': state, 'meta': meta}, folder / f'{name}.pth')
        if name == 'boxed':
            torch.save({'model': state}, folder / 'released.pth')
            arrays = {key: value.numpy() for key, value in state.items()}  # names that are ours already stay
            (folder / 'weights.pkl').write_bytes(pickle.dumps({'model': arrays, '__author__': 'Detectron2'}))
    torch.save({'state_dict': weights, 'meta': {}}, folder / 'weights.pth')
    torch.save({'state_dict': weights}, folder / 'old.pth', _use_new_zipfile_serialization=False)


def _run(name: str, *arguments: object) -> None:
    from mmagg.cli.main import COMMANDS, run

    _in_its_own_process(lambda: run(COMMANDS[name], [*map(str, arguments)]))


def _in_its_own_process(call: Callable[[], Any]) -> None:
    [(_, outcome)] = run_all([('', lambda: call, [Path('/')])], jobs=1, limit=120)
    if outcome.code != 0:
        raise RuntimeError(f'the material cannot be made: {outcome.output[-2000:]}')
