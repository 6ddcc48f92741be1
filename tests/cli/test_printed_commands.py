"""Every command that a README, a page of the documentation or a command's help prints runs as it is printed.

It is typed in a folder with all that they name: data, results, photographs, as `printed_rules` says; one without a
rule fails. Of those that are not run, the arguments are checked.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from colour_model import colour_model
from mmdet.registry import MODELS
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from printed import forms, printed, words
from printed_rules import AS_THE_LAST, BOXED, FIT, GRID, SOLO, ours, rule_of, typed
from released_names import WHOLE, named_as, released
from video_files import write_video

from mmagg.apis.config import load_config
from mmagg.cli.main import COMMANDS, SCRIPTS, main
from mmagg.datasets.cocofied_lvis import ID_OF_SYNSET
from mmagg.demo.shapes import CLASSES, write_shapes
from mmagg.io.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
EXPORTS = all(find_spec(name) for name in ('onnx', 'onnxruntime', 'onnxscript'))
WITHOUT = "pip install 'mmagg[onnx]' to run what has a model.onnx"
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), *(ROOT / 'configs').glob('*/README.md')])


def in_help(command: ModuleType) -> list[str]:
    """The commands that the help of one prints after ``example:``."""
    example = (command.parser().epilog or '').partition('example: ')[2]
    return [text.strip() for text in example.split('&&') if text]


READMES = {
    str(path.relative_to(ROOT)): [form for command in printed(path.read_text()).commands for form in forms(command)]
    for path in PAGES
}
PRINTED = READMES | {'--help': [text for command in COMMANDS.values() for text in in_help(command)]}
pages = pytest.mark.parametrize('page', PRINTED)


def results_of(annotations: Path, scores: np.random.Generator) -> list[dict]:
    """Every object of an annotation file as it would be detected."""
    return [
        {key: x[key] for key in ('image_id', 'category_id', 'bbox', 'segmentation')} | {'score': scores.random()}
        for x in read_json(annotations)['annotations']
    ]


def random_checkpoint(config: str, path: Path) -> None:
    """A checkpoint of random weights, with which a model is sure of what it sees."""
    torch.manual_seed(0)
    state = MODELS.build(load_config(ROOT / config).model).state_dict()
    state |= {key: value + 2 for key, value in state.items() if key.endswith('conv_cls.bias')}
    torch.save({'state_dict': state, 'meta': {'dataset_meta': {'classes': CLASSES}}}, path)


@pytest.fixture(scope='module')
def all_that_is_named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's folder with everything that READMEs name: data, results, photographs, checkpoints."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('tools', 'configs', 'mmagg'):
        (folder / name).symlink_to(ROOT / name)
    write_shapes(folder / 'mine', images=30, val_images=3, size=64, seed=0)
    (folder / 'mine/test2017').symlink_to(folder / 'mine/images/val')
    content = read_json(folder / 'mine/annotations/instances_val.json')
    write_json(
        {part: content[part] for part in ('images', 'categories')},
        folder / 'mine/annotations/image_info_test-dev2017.json',
    )
    for name in ('shapes', 'nuts', 'NUTS_18', 'data/coco', 'work_dirs/demo/shapes', 'coco'):
        shutil.copytree(folder / 'mine', folder / name)
    train, val = (folder / f'mine/annotations/instances_{split}.json' for split in ('train', 'val'))
    for name in ('ANN.json', 'HELD_OUT.json', 'instances_val2017.json'):
        shutil.copy(val, folder / name)
    for name in ('TRAIN.json', 'data/coco/annotations/instances_train2017.json'):
        shutil.copy(train, folder / name)
    scores = np.random.default_rng(0)
    for name in ('RESULTS', 'A', 'B', 'results.segm', 'solo.segm', 'aggmask.segm', 'boxes'):
        write_json(results_of(val, scores), folder / f'{name}.json')
    write_json(as_lvis(read_json(val)), folder / 'lvis_v0.5_val.json')
    picture = cv2.imread(str(next((folder / 'mine/images/val').iterdir())))
    for name in ('photo.jpg', 'street.jpg'):
        cv2.imwrite(str(folder / name), picture)
    write_video(folder / 'video.mp4', 3)
    for name, config in dict(grid=GRID, boxed=BOXED, solo=SOLO).items():
        random_checkpoint(config, folder / f'random_{name}.pth')
    if EXPORTS:
        colour_model(folder / 'model.onnx', classes=CLASSES)
    return folder


def as_lvis(content: dict) -> dict:
    """Annotations in LVIS's format, of the synsets of COCO's first categories."""
    images = [{**image, 'neg_category_ids': [], 'not_exhaustive_category_ids': []} for image in content['images']]
    synsets = dict(zip([category['id'] for category in content['categories']], ID_OF_SYNSET, strict=False))
    categories = [{**x, 'synset': synsets[x['id']], 'frequency': 'f'} for x in content['categories']]
    return {**content, 'images': images, 'categories': categories}


@pytest.fixture
def clone(all_that_is_named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to write to, as the current folder."""
    shutil.copytree(all_that_is_named, tmp_path / 'clone', symlinks=True)
    monkeypatch.chdir(tmp_path / 'clone')
    return tmp_path / 'clone'


def run_all(commands: list[str], capsys, *, slow: bool) -> None:
    """Type the commands one after the other; each ends well."""
    left = False
    for command in commands:
        rule = rule_of(command)
        argv = typed(command, rule)
        mine = ours(argv)
        if rule.why or mine is None or (rule.slow and not slow):
            continue
        if '.onnx' in command and not EXPORTS:
            left = True
            continue
        assert exit_code(main, mine) == 0, f'{command}\ntyped as {shlex.join(argv)}\n{capsys.readouterr().err[-3000:]}'
    if left:
        pytest.skip(WITHOUT)


def exit_code(call: Callable, arguments: list[str]) -> int:
    """That with which a call ends the process, or that it returns if it is a number."""
    try:
        result = call(arguments)
    except SystemExit as end:
        result = end.code
    return result if isinstance(result, int) else 0


@pages
def test_arguments_are_known(page: str, tmp_path: Path, capsys) -> None:
    """Of every command as it is typed; scripts, configs, targets of make and extras exist."""
    for command in PRINTED[page]:
        argv = typed(command, rule_of(command))
        missing = [word for word in words(command) if re.match('(configs|tools)/', word) and not (ROOT / word).exists()]
        assert not missing, command
        if argv[0] == 'make':
            done = subprocess.run(['make', '-n', *argv[1:]], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        elif argv[:2] == ['pip', 'install']:
            setup = ConfigParser()
            setup.read(ROOT / 'setup.cfg')
            assert set(re.findall(r'\.\[(\w+)\]', command)) <= set(setup['options.extras_require']), command
        elif re.search(r'tools/(dist|slurm)_\w+\.sh ', command):
            argv = started_by(command, tmp_path)
        if mine := ours(argv):
            name, *arguments = mine
            if not name.startswith('-'):
                parser = COMMANDS[SCRIPTS.get(name, name)].parser()
                assert exit_code(parser.parse_args, arguments) == 0, f'{command}\n{capsys.readouterr().err}'


def started_by(command: str, folder: Path) -> list[str]:
    """The command of ours that a shell script starts, without torchrun or srun."""
    for name in ('srun', 'python'):
        (folder / name).write_text('#!/bin/sh\necho "$@"\n')
        (folder / name).chmod(0o755)
    variables = {'PATH': f'{folder}:{os.environ["PATH"]}', 'PYTHON': 'python'}
    done = subprocess.run(['bash', '-c', command], cwd=ROOT, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    script = re.search(r'tools/(train|test)\.py.*', done.stdout)
    return ['python', *script[0].split()]


@pytest.mark.parametrize('page', READMES)
@pytest.mark.usefixtures('clone')
def test_commands_run(page: str, capsys) -> None:
    """Those that the README, or a page of the documentation before this one, has run there alone."""
    general = sorted(name for name in READMES if name == 'README.md' or name.startswith('docs/'))
    before = general[: general.index(page)] if page in general else general
    elsewhere = [words(command) for name in before for command in READMES[name]]
    run_all([command for command in READMES[page] if words(command) not in elsewhere], capsys, slow=False)


@pytest.fixture
def weights(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other projects' checkpoints, by the names that READMEs call them, and pre-trained weights; random ones."""
    init_default_scope('mmdet')
    for name in ('solo', 'solov2'):
        state = MODELS.build(get_config(f'mmdet::{name}/{name}_r50_fpn_1x_coco.py').model).state_dict()
        torch.save({'state_dict': state, 'meta': {}}, f'{name}_r50_fpn_1x_coco.pth')
    name = 'aggmask/aggmask-solo_r50_fpn_3x_coco.py'
    plain = {'model.mask_head.aggregator.parameters.kernel_size': 1}
    for path, changes in {'aggmask_release.pth': {}, 'aggmask_r50_fpn.pth': plain}.items():
        torch.save({'state_dict': named_as(WHOLE[name], state_of(name, changes)), 'meta': {}}, path)
    for path, name in {
        'R_50_1x.pth': 'blendmask/blendmask_r50_fpn_1x_coco.py',
        'R_50_3x.pth': 'blendmask/blendmask_r50_fpn_3x_coco.py',
        'MEInst_R_50_3x.pth': 'meinst/meinst_r50_fpn_3x_coco.py',
    }.items():
        torch.save({'model': released(state_of(name))}, path)
    cache = Path('torch_home/hub/checkpoints')
    cache.mkdir(parents=True)
    backbone = load_config('configs/solo/solo_r50_fpn_1x_coco.py').model.backbone
    torch.save(MODELS.build(backbone).state_dict(), cache / 'resnet50-0676ba61.pth')
    monkeypatch.setenv('TORCH_HOME', 'torch_home')


def state_of(config: str, changes: dict | None = None) -> dict:
    """The weights of a config's model, without counts of batches, which Detectron2 does not keep."""
    state = MODELS.build(load_config(f'configs/{config}', changes).model).state_dict()
    return {key: value for key, value in state.items() if not key.endswith('num_batches_tracked')}


@pytest.mark.slow
@pytest.mark.usefixtures('weights')
@pages
def test_all_commands_run(page: str, capsys) -> None:
    run_all(PRINTED[page], capsys, slow=True)


@pytest.mark.parametrize('page', [page for page in READMES if printed((ROOT / page).read_text()).python])
def test_python_runs(page: str, clone: Path) -> None:
    """A page's blocks one after the other, with one epoch of training."""
    cfg = load_config(FIT)
    cfg.merge_from_dict(AS_THE_LAST)
    Path('configs').unlink()
    Path(FIT).parent.mkdir(parents=True)
    cfg.dump(FIT)
    blocks = printed((ROOT / page).read_text()).python
    if '.onnx' in '\n'.join(blocks) and not EXPORTS:
        pytest.skip(WITHOUT)
    stand_in_for_trained(blocks)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    if 'picture' in names:
        assert names['picture'].shape == (64, 64, 3)
    if 'result' in names:
        assert 'missed' in str(names['result'])


def stand_in_for_trained(blocks: list[str]) -> None:
    """A random model at the paths of a run that Python names, as if the page's commands had trained it."""
    for path in map(Path, re.findall(r"'(work_dirs/[^']+\.(?:py|pth))'", '\n'.join(blocks))):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.py':
            load_config(ROOT / BOXED).dump(path)
        else:
            shutil.copy('random_boxed.pth', path)


@pytest.mark.parametrize('page', READMES)
def test_configs_that_are_printed_can_be_built(page: str, tmp_path: Path) -> None:
    """In a folder below ``configs``; one without a base stands for a part of any detector's."""
    new = tmp_path / 'configs/new'
    new.mkdir(parents=True)
    for folder in (ROOT / 'configs').iterdir():
        (tmp_path / 'configs' / folder.name).symlink_to(folder)
    for text in printed((ROOT / page).read_text()).configs:
        base = '' if '_base_' in text else "_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'\n"
        (new / 'printed.py').write_text(base + text)
        cfg = load_config(new / 'printed.py')
        with torch.device('meta'):
            MODELS.build(cfg.model)


def test_no_other_blocks_are_printed() -> None:
    """All but the folder of one's own data and citations is a command, Python or a config: known, and so run."""
    texts = [text for path in PAGES for text in printed(path.read_text()).texts if not text.startswith('@')]
    assert texts
    assert not [text for text in texts if not text.startswith('mine/\n')]


def test_what_commands_leave_in_a_clone_is_ignored(clone: Path) -> None:
    """By git, unless a placeholder such as OUT stands for its name."""
    left = ['mine/', 'nuts/', 'pictures/', 'out/', 'report/', 'shapes/', 'results.json', 'photo_representations.png']
    left += ['work_dirs/', 'data/', 'model.onnx']
    ignored = subprocess.run(['git', 'check-ignore', *left], cwd=ROOT, capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip('no git repository')
    assert ignored.stdout.split() == left


def test_a_command_without_a_rule_fails() -> None:
    with pytest.raises(AssertionError, match='is missing for: make_coffee --strong'):
        rule_of('make_coffee --strong')
