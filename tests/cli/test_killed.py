"""Commands that are killed leave whole files, and do the same as ever when they are repeated.

Kills are aimed (before and after each call that changes the outputs' folder, and in the middle of the largest file) and
random in time. A training goes on bit by bit.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from released_names import SOLO, named_as, released
from test_configs import slim
from video_files import write_video

LIGHT = (
    'mmagg.demo.shapes',
    'mmagg.datasets.cocofied_lvis',
    'mmagg.datasets.split_coco',
    'mmagg.formats.convert_data',
)
HEAVY = (
    'mmagg.register',
    'mmagg.apis.training',
    'mmagg.apis.testing',
    'mmagg.apis.prediction',
    'mmagg.apis.video',
    'mmagg.apis.exporting',
    'mmagg.convert.adelaidet',
    'mmagg.convert.grid_masks',
    'mmagg.experiments.data_stats',
    'mmagg.experiments.fit_mask_codec',
    'mmagg.inside.browse',
)
LOGS = re.compile(r'\d{8}_\d{6}')  # folders of mmengine's logs, by the time of the start
TIMED = {'curves.png', 'curves.csv'}  # they have durations
KILLED = -9, -25  # SIGKILL, SIGXFSZ


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        command: its name.
        words: its arguments; {i} stands for the folder of its inputs, {o} for that of its outputs.
        before: arguments of the same command, which has written the outputs before.
        aimed: places at which it is killed.
        random: times at which it is killed.
    """

    command: str
    words: str
    before: str | None = None
    aimed: int = 3
    random: int = 1


MODEL = '{i}/tiny.py {i}/model.pth'
TRAIN = ' --coco {i}/data --work-dir {o}/w --seed 0 --resume --cfg-options default_hooks.checkpoint.max_keep_ckpts=1 '
ITERATIONS, EPOCHS = '{i}/tiny.py', '{i}/epochs.py'
# Iterations that are done are drawn anew when a training by iterations is resumed, those by epochs are not.
BY_EPOCH = """
_base_ = 'tiny.py'
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3, val_interval=100)
default_hooks = dict(checkpoint=dict(by_epoch=True))
log_processor = dict(by_epoch=True)
"""
NO_FLIP = 'train_dataloader.dataset.pipeline.3.prob=0.0'
WORKERS = 'train_dataloader.num_workers=2 train_dataloader.persistent_workers=True'
SHAPES = '{o}/shapes --images 6 --val-images 2 --size 64'
CASES = {
    'train': Case('train', f'{ITERATIONS}{TRAIN}{NO_FLIP} train_cfg.max_iters=4', aimed=7, random=2),
    'train with flips and workers': Case('train', f'{EPOCHS}{TRAIN}{WORKERS}', aimed=3),
    'test': Case('test', MODEL + ' --coco {i}/data --work-dir {o}/w --out {o}/r.json --show-dir {o}/s', aimed=5),
    'demo': Case('demo', '{i}/data/images/val {i}/model.py {i}/model.pth --out-dir {o}/d --score-thr 0', aimed=4),
    'demo of a video': Case(
        'demo', '{i}/video.mp4 {i}/model.py {i}/model.pth --out {o}/out.mp4 --score-thr 0 --batch-size 2', aimed=2
    ),
    'export': Case('export', '{i}/model.py {i}/model.pth --out {o}/neck.onnx --part neck --shape 64 96', aimed=2),
    'browse': Case('browse', '{i}/tiny.py --coco {i}/data --out {o}/b'),
    'make-shapes': Case('make-shapes', SHAPES),
    'make-shapes --overwrite': Case('make-shapes', f'{SHAPES} --seed 1 --overwrite', before=SHAPES, aimed=6),
    'fit-mask-codec': Case(
        'fit-mask-codec',
        '--coco {i}/data --out {o}/c.npz --size 8 --dims 2 --curve 3 --workers 1 --device cpu',
        aimed=4,
    ),
    'convert-mmdet': Case('convert-mmdet', '{i}/mmdet.pth {o}/ours.pth --config {i}/solo.json', aimed=2),
    'convert-aggmask': Case('convert-aggmask', '{i}/aggmask.pth {o}/ours.pth --config {i}/solo.json', aimed=2),
    'convert-adelaidet': Case('convert-adelaidet', '{i}/adelaidet.pth {o}/ours.pth --config {i}/blend.json', aimed=2),
    'pack-results': Case('pack-results', '{i}/results.json {o}/detections_test-dev2017_x_results.zip', aimed=2),
    'convert-lvis': Case('convert-lvis', '{i}/lvis.json {o}/ours.json', aimed=2),
    'data-stats': Case('data-stats', '{i}/data --config {i}/tiny.py --out {o}/s --json {o}/n.json', aimed=4),
    'split-coco': Case('split-coco', '{i}/data {o}/split', aimed=4),
    'convert-data': Case('convert-data', '{i}/data {o}/mine --tile 48', aimed=4),
}
FOLDERS = 'make-shapes', 'split-coco', 'convert-data'  # commands that write a folder whole
QUICK = 'make-shapes --overwrite', 'convert-lvis'

Server = Callable[..., dict]


def server(root: Path, log: Path, *modules: str) -> Iterator[Server]:
    """Runs commands, see `kill_server`, with these modules imported."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(root), 'CUDA_VISIBLE_DEVICES': '-1'}
    words = [sys.executable, Path(__file__).with_name('kill_server.py'), *modules]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        while process.stdout.readline().strip() not in ('ready', ''):
            pass

        def run(case: Case, inputs: Path, out: Path, *, words: str | None = None, kill: Sequence | None = None) -> dict:
            words = (words or case.words).format(i=inputs, o=out).split()
            job = dict(command=case.command, words=words, of=str(out), log=str(log), kill=kill)
            process.stdin.write(json.dumps(job) + '\n')
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


@pytest.fixture(scope='module')
def light(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from server(root, tmp_path_factory.mktemp('log') / 'log.txt', *LIGHT)


@pytest.fixture(scope='module')
def heavy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from server(root, tmp_path_factory.mktemp('log') / 'log.txt', *LIGHT, *HEAVY)


@pytest.fixture(scope='module')
def lvis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an annotation file in LVIS's format."""
    folder = tmp_path_factory.mktemp('lvis')
    lists = {'neg_category_ids': [], 'not_exhaustive_category_ids': []}
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    fields = {'category_id': 7, 'bbox': [0, 0, 4, 4], 'area': 16, 'segmentation': square}
    content = {
        'images': [{'id': i, 'height': 8, 'width': 8, **lists} for i in range(1, 99)],
        'annotations': [{'id': i, 'image_id': i, **fields} for i in range(1, 99)],
        'categories': [{'id': 7, 'name': 'dog', 'synset': 'dog.n.01', 'frequency': 'f'}],
    }
    (folder / 'lvis.json').write_text(json.dumps(content))
    record = dict(image_id=1, category_id=1, segmentation=dict(size=[1, 1], counts='01'), score=0.5)
    (folder / 'results.json').write_text(json.dumps([record]))
    return folder


@pytest.fixture(scope='module')
def inputs(lvis: Path, trained: Path, shapes_folder: Path, tiny_config: Path, root: Path) -> Path:
    """A folder with the inputs of all cases."""
    shutil.copytree(shapes_folder, lvis / 'data')
    write_video(lvis / 'video.mp4', 6)
    shutil.copy(tiny_config, lvis / 'tiny.py')
    (lvis / 'epochs.py').write_text(BY_EPOCH)
    shutil.copy(trained / 'iter_2.pth', lvis / 'model.pth')
    shutil.copy(trained / 'tiny.py', lvis / 'model.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    for name, config in (('solo', 'solo/solo_r50_fpn_3x_coco.py'), ('blend', 'blendmask/blendmask_r50_fpn_1x_coco.py')):
        model = Config.fromfile(root / 'configs' / config).model.to_dict()
        slim(model)
        Config(dict(model=model)).dump(lvis / f'{name}.json')
        state = MODELS.build(model).state_dict()
        if name == 'solo':
            theirs = named_as(SOLO, state)
            torch.save(dict(state_dict=theirs, meta={}), lvis / 'aggmask.pth')
            theirs = {MMDET(key): value for key, value in state.items()}
            torch.save(dict(state_dict=theirs, meta={}), lvis / 'mmdet.pth')
        else:
            state = {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}
            torch.save(dict(model=released(state)), lvis / 'adelaidet.pth')
    return lvis


def MMDET(key: str) -> str:  # noqa: N802
    """mmdet's name of a weight."""
    for ours, theirs in (
        ('class_tower.', 'cls_convs.'),
        ('mask_branch.tower.', 'mask_convs.'),
        ('mask_branch.convs.', 'conv_mask_list.'),
    ):
        key = key.replace(f'mask_head.{ours}', f'mask_head.{theirs}')
    return key


def content(path: Path) -> object:
    """What a file holds, which must be whole, to be compared."""
    data = path.read_bytes()
    if path.suffix == '.json':
        json.loads(data)
    elif path.suffix in ('.png', '.jpg'):
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None, path
    elif path.suffix == '.npz':
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    elif path.suffix == '.csv':
        assert data.endswith(b'\n'), path
    elif path.suffix == '.py':
        compile(data, path, 'exec')
        return None  # of a resumed training it says so
    elif path.suffix == '.pth':
        saved = torch.load(path, map_location='cpu', weights_only=False)
        if 'optimizer' in saved:
            return plain([saved['state_dict'], saved['optimizer'], saved['meta']['epoch'], saved['meta']['iter']])
    elif path.name == 'last_checkpoint':
        assert Path(data.decode()).is_file()
    return None if path.name in TIMED else hashlib.sha256(data).hexdigest()


def plain(value: object) -> object:
    """Tensors as bytes, so that equal is bit by bit."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def contents(folder: Path) -> dict[str, object]:
    """What is in a folder, by path, without logs; hidden files are not looked into."""
    paths = {path.relative_to(folder): path for path in folder.rglob('*') if path.is_file()}
    return {
        name.as_posix(): 'hidden' if any(part.startswith('.') for part in name.parts) else content(path)
        for name, path in sorted(paths.items())
        if not any(LOGS.fullmatch(part) for part in name.parts)
    }


def whole_again(run: Server, case: Case, inputs: Path, folder: Path, *, seed: int = 0) -> int:
    """Kill a command in many ways; returns how often it was."""
    before, out = digests(inputs), folder / 'out'

    def prepared() -> dict[str, object]:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        if case.before is not None:
            assert run(case, inputs, out, words=case.before)['code'] == 0
        return contents(out)

    old = prepared()
    undisturbed = run(case, inputs, out)
    assert undisturbed['code'] == 0, undisturbed['log']
    wanted, places = contents(out), undisturbed['places']
    assert 'hidden' not in wanted.values()
    largest = max(path.stat().st_size for path in out.rglob('*') if path.is_file())
    random = Random(seed)
    # One place in each part of the run, so that they are spread over it.
    edges = np.linspace(0, places, case.aimed + 1).astype(int)
    kills = [('call', random.randrange(*edges[part : part + 2])) for part in range(case.aimed)]
    kills += [('bytes', largest // 2)]
    kills += [('seconds', random.uniform(0, undisturbed['seconds'])) for _ in range(case.random)]
    killed = 0
    for kill in kills:
        prepared()
        code = run(case, inputs, out, kill=kill)['code']
        assert code in KILLED or kill[0] == 'seconds', (kill, code)
        killed += code in KILLED
        seen = {name: what for name, what in contents(out).items() if what != 'hidden'}
        if case.command in FOLDERS:
            assert seen in ({}, old, wanted), kill
        elif case.command != 'train':
            assert all(what in (old.get(name), wanted[name]) for name, what in seen.items()), kill
        assert digests(inputs) == before, kill
        refused = seen == wanted and case.command in FOLDERS and case.before is None
        assert run(case, inputs, out)['code'] == (2 if refused else 0), kill
        assert contents(out) == wanted, kill
        assert not list(out.rglob('.*')), kill
    return killed


def digests(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', QUICK)
def test_a_killed_command_is_repeated(name, light, lvis, tmp_path):
    assert whole_again(light, replace(CASES[name], aimed=2), lvis, tmp_path) >= 3


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_killed_anywhere(name, heavy, inputs, tmp_path):
    case = CASES[name]
    assert whole_again(heavy, case, inputs, tmp_path, seed=1) >= case.aimed + 1


def test_there_are_fifty_kills():
    assert sum(case.aimed + 1 + case.random for case in CASES.values()) >= 50
