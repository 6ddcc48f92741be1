"""How tests type the commands that pages print: `RULES`, by the words that they begin with.

A rule says what stands for the words of a command and what makes it small; which commands wait for the slow tests, and
why some are not run.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from printed import words

ROOT = Path(__file__).resolve().parents[1]
FIT = 'configs/demo/solo_tiny_fit.py'
SOLO, GRID, BOXED = (f'configs/demo/{name}_tiny_shapes.py' for name in ('solo', 'aggmask', 'blendmask'))
ONE_EPOCH = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'param_scheduler.1.end': 1}
# Two images of a few pixels, read in the process itself.
SMALL_DATA = {'train_dataloader.dataset.indices': 2, 'train_dataloader.batch_size': 1}
for split, step in (('train', 2), ('val', 1), ('test', 1)):
    SMALL_DATA |= {
        f'{split}_dataloader.dataset.pipeline.{step}.scale': (96, 96),
        f'{split}_dataloader.num_workers': 0,
        f'{split}_dataloader.persistent_workers': False,
    }
HERE = {key: value for key, value in SMALL_DATA.items() if key.startswith('test_dataloader') and 'scale' not in key}
# One epoch of them, without a look at its result; its checkpoint is called as that of the last of 300.
AS_THE_LAST = {
    **SMALL_DATA,
    'train_cfg.max_epochs': 1,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.filename_tmpl': 'epoch_300.pth',
}
# The same of 14.
LAST_OF_14 = {'param_scheduler.1.end': 1, 'default_hooks.checkpoint.filename_tmpl': 'epoch_14.pth'}


def options(values: dict) -> str:
    return ' '.join(['--cfg-options', *(f'{key}={value}'.replace(' ', '') for key, value in values.items())])


@dataclass(frozen=True)
class Rule:
    """How a test types a command.

    Attributes:
        words: what stands for words of the command.
        more: what is added to make it small.
        slow: it waits for the slow tests.
        why: it is not run, because …; its arguments are checked.
    """

    words: dict[str, str] = field(default_factory=dict)
    more: str = ''
    slow: bool = False
    why: str = ''


# What stands for the words of all commands, unless a rule says otherwise.
WORDS = {
    '--coco DIR': '--coco mine',
    'IMAGE': 'photo.jpg',
    'CONFIG': GRID,
    'CONFIG2': 'configs/demo/solo_tiny_shapes.py',
    'CHECKPOINT': 'random_grid.pth',
    'CHECKPOINT2': 'random_solo.pth',
    'H': '64',
    'W': '96',
    'N': '10',
}
# Full-size models for which a small one stands.
SMALL = {
    'configs/solo/solo_r50_fpn_1x_coco.py': 'configs/demo/solo_tiny_shapes.py',
    'configs/solo/solo_r50_fpn_3x_coco.py': 'configs/demo/solo_tiny_shapes.py',
    'configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py': GRID,
    'configs/blendmask/blendmask_r50_fpn_3x_coco.py': BOXED,
    'configs/a2fpn/mask-rcnn_r50_fpn_1x_coco.py': BOXED,
}
SHAPES = Rule({'shapes': 'new_shapes', 'mine': 'new_mine'}, '--images 4 --val-images 2 --size 64')
SMALL_RUN = Rule(more='--shape 64 96 --runs 1', slow=True)
# The same of the 50 of small models, whose batch norm wants two images where a crop leaves one pixel of the last level.
LAST_OF_50 = {
    'default_hooks.checkpoint.filename_tmpl': 'epoch_50.pth',
    'model.backbone.init_cfg': None,
    'train_dataloader.batch_size': 2,
}
# Of photographs, whose commands name the best one.
BEST = 'best_coco_segm_mAP_epoch_80.pth'
LAST_OF_PHOTOGRAPHS = {'default_hooks.checkpoint.filename_tmpl': BEST}
# Trained models that are exported, and what stands for them.
TRAINED = {
    'work_dirs/blendmask_lite0_fpn_320/blendmask_lite0_fpn_320.py': BOXED,
    f'work_dirs/blendmask_lite0_fpn_320/{BEST}': 'random_boxed.pth',
    'work_dirs/mine/mine.py': BOXED,
    'work_dirs/mine/epoch_12.pth': 'random_boxed.pth',
}
RULES = {
    'make': Rule(),  # as make -n
    'CUDA_VISIBLE_DEVICES=-1 make': Rule(why='it compiles for a machine with a GPU'),
    'MAX_JOBS=1 make': Rule(why='it compiles'),
    'python .ci/setup': Rule(why='`make` runs it'),
    'pip install': Rule(why='it installs; the extras that it names are looked up'),
    'source': Rule(why='it is of the shell'),
    'tensorboard': Rule(why='the tests do without that package'),
    'doctor': Rule(slow=True),  # docs/versions.md runs it as a command of ours
    'python -m pytest': Rule(why='it is these tests'),
    'python -m mypy': Rule(why='`make lint` runs it'),
    'fuzz': Rule(why='it is run by the tests of the fuzzer'),
    'pip wheel': Rule(why='the slow tests of the installed package build one'),
    'python -m build': Rule(why='the same'),
    'python -m http.server': Rule(why='it runs until it is stopped'),
    'mmagg train mmagg::demo/solo_tiny_shapes.py': Rule(more=options(ONE_EPOCH | SMALL_DATA)),
    'mmagg': Rule({'COMMAND': 'doctor', '…': '--help', 'get-flops': 'get-flops --help', 'analyse-confusion': '--help'}),
    'python -m mmagg': Rule({'COMMAND': '--version'}),
    'tools/dist_train.sh': Rule(why='it takes many processes; tests/cli/test_train.py has two'),
    'NNODES=2': Rule(why='it takes two machines'),
    'tools/dist_test.sh': Rule(why='it takes many processes; tests/cli/test_test_tta.py has two'),
    'tools/gpu_check.sh': Rule(why='it takes a GPU; tests/costs/test_gpu_check.py rehearses it'),
    'tools/slurm_train.sh': Rule(why='it takes a cluster'),
    'PORT=29501': Rule(why='it takes many processes'),
    'PYTHONPATH=.': Rule(why='tests/test_docs_extending.py tries what it trains'),
    'make_shapes': SHAPES,
    'make_shapes data/large': Rule(
        {'data/large': 'new_large', '200': '4', '250': '6', '54': '10', '134': '20'},
        '--images 2 --val-images 1 --size 64',
    ),
    'make_demo': Rule(more=f'--out new_demo --images 8 --val-images 3 --size 64 {options(ONE_EPOCH)}', slow=True),
    'train configs/demo/solo_tiny_fit.py': Rule(more=options(AS_THE_LAST)),
    'train configs/demo/solo-contour_tiny_shapes.py': Rule(
        {'--coco shapes': '--coco mine'}, options(ONE_EPOCH | SMALL_DATA), slow=True
    ),
    # Pages print it several times, with other options.
    'train configs/boxinst/blendmask_r50_fpn_boxes_1x_coco.py': Rule(
        {'configs/boxinst/blendmask_r50_fpn_boxes_1x_coco.py': 'configs/demo/blendmask-boxes_tiny_shapes.py'},
        options(AS_THE_LAST | LAST_OF_14),
    ),
    'train configs/solo/solo_r50_fpn_1x_coco.py': Rule(
        {'data/mine': 'mine'}, f'--overwrite {options(ONE_EPOCH | SMALL_DATA)}', slow=True
    ),
    'train configs/demo/solo_tiny_fit.py --coco mine --resume': Rule(more=options(AS_THE_LAST)),
    'train configs/demo/solo_tiny_fit.py --coco mine --cfg-options train_cfg.max_epochs=100': Rule(
        more=' '.join([options(AS_THE_LAST), 'train_cfg.max_epochs=1']), slow=True
    ),
    'train configs/demo/solo_tiny_shapes.py --coco mine': Rule(more=options(AS_THE_LAST | LAST_OF_14)),
    'train configs/own/blendmask_lite0_fpn_320.py': Rule(more=f'--overwrite {options(AS_THE_LAST | LAST_OF_50)}'),
    'train configs/own/blendmask_lite0_fpn_320.py --coco mine --epochs 150': Rule(
        more=f'--overwrite {options(AS_THE_LAST | LAST_OF_50)}', slow=True
    ),
    'train configs/own/blendmask_lite0_fpn_320.py --coco nuts': Rule(
        more=f'--overwrite {options(AS_THE_LAST | LAST_OF_50 | LAST_OF_PHOTOGRAPHS)}'
    ),
    'train configs/own/blendmask_lite0_fpn_320.py --coco other': Rule(
        why="it starts from a model of one's own; tests/apis/test_load_from.py trains so"
    ),
    'train configs/own/meinst_lite0_fpn_320.py': Rule(more=options(AS_THE_LAST | LAST_OF_50)),
    'test work_dirs/blendmask_lite0_fpn_320': Rule(),
    'test work_dirs/solo_tiny_shapes': Rule(),
    'test work_dirs/solo_tiny_fit': Rule(),
    'train configs/demo/solo_tiny_fit.py --coco NUTS_18': Rule(more=options(AS_THE_LAST), slow=True),
    'test work_dirs/nuts': Rule(slow=True),
    'train configs/solov2/solov2_r50_fpn_1x_coco.py': Rule(
        why='it downloads; tests/apis/test_named_weights.py trains so'
    ),
    'demo photo.jpg --weights': Rule(why='it downloads; the same test uses a name without a config'),
    'weights': Rule(),
    'test CONFIG': Rule(more=options(HERE)),
    'test configs/demo/blendmask_tiny_shapes.py': Rule({'CKPT': 'random_boxed.pth'}, slow=True),
    'test configs/solo': Rule(
        {'configs/solo/solo_r101_fpn_3x_coco.py': 'configs/demo/solo_tiny_shapes.py', 'CHECKPOINT': 'random_solo.pth'}
    ),
    'test configs/solov2': Rule(
        {
            'configs/solov2/solov2_r101_fpn_3x_coco.py': 'configs/demo/solo_tiny_shapes.py',
            'CHECKPOINT': 'random_solo.pth',
        },
        slow=True,
    ),
    'test configs/aggmask': Rule({'configs/aggmask/aggmask-solov2_r101_fpn_cls-grid-60_6x_coco.py': GRID}, slow=True),
    'test configs/a2fpn': Rule(
        {'configs/a2fpn/mask-rcnn_r101_a2fpn_1x_coco.py': BOXED, 'CHECKPOINT': 'random_boxed.pth'}, slow=True
    ),
    'test configs/blendmask': Rule(
        {'configs/blendmask/blendmask_r101_fpn_3x_coco.py': BOXED, 'CHECKPOINT': 'random_boxed.pth'}, slow=True
    ),
    'test configs/meinst': Rule(
        {'configs/meinst/meinst_r101_fpn_3x_coco.py': BOXED, 'CHECKPOINT': 'random_boxed.pth'}, slow=True
    ),
    'pack_results': Rule({'results.json': 'RESULTS.json'}),
    'test FCOS_CONFIG': Rule(
        {'FCOS_CONFIG': BOXED, 'FCOS_CHECKPOINT': 'random_boxed.pth', 'boxes.json': 'new_boxes.json'}
    ),
    'demo': Rule(),
    'demo video.mp4 CONFIG CHECKPOINT --out out.mp4 --track': Rule(
        why='it takes a package; tests/cli/test_demo_video.py runs it where that is installed'
    ),
    # Of random weights more candidates are found than a file has, so that its results are others.
    'export': Rule(TRAINED | {'--check nuts/images/val': ''}, '--candidates 20', slow=True),
    # OpenVINO does not load the int8 file of AggMask's small model.
    'export CONFIG CHECKPOINT --out model.onnx --int8': Rule(
        {'CONFIG': BOXED, 'CHECKPOINT': 'random_boxed.pth'}, '--candidates 20', slow=True
    ),
    'mmagg export': Rule(more='--candidates 20', slow=True),
    'test model.onnx': Rule(),
    'serve': Rule(why='it runs until it is stopped; tests/cli/test_serve.py looks at it in a browser'),
    'mmagg serve': Rule(why='the same'),
    'browse_dataset': Rule(SMALL, '--number 2'),
    'cocofy_lvis': Rule(),
    'convert_data': Rule({'mine': 'new_mine', 'export': 'mine'}),
    'convert_data export more': Rule({'mine': 'new_merged', 'export': 'mine', 'more': 'nuts'}),
    'convert_data mine yolo-mine': Rule({'yolo-mine': 'new_yolo'}),
    'mmagg convert-data': Rule({'DST': 'new_converted', 'SRC': 'mine'}, '--overwrite'),
    'split_coco': Rule({'mine': 'new_split', 'export': 'mine'}),
    'mmagg split-coco': Rule({'OUT': 'new_split', 'EXPORT': 'mine'}, '--overwrite'),
    'mmdet_to_mmagg': Rule(
        {'SRC.pth': 'solo_r50_fpn_1x_coco.pth', 'CONFIG': 'configs/solo/solo_r50_fpn_1x_coco.py'}, slow=True
    ),
    'mmdet_to_mmagg SRC.pth DST.pth --config configs/solov2': Rule(
        {'SRC.pth': 'solov2_r50_fpn_1x_coco.pth'}, slow=True
    ),
    'aggmask_to_mmagg': Rule(
        {'SRC.pth': 'aggmask_release.pth', 'CONFIG': 'configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py'}, slow=True
    ),
    'adelaidet_to_mmagg': Rule(
        {'SRC': 'R_50_3x.pth', 'CONFIG': 'configs/blendmask/blendmask_r50_fpn_3x_coco.py'}, slow=True
    ),
    'show_representations': Rule(SMALL),
    'show_bases': Rule({**SMALL, 'CONFIG': BOXED, 'CHECKPOINT': 'random_boxed.pth'}),
    'fit_mask_codec': Rule(more='--workers 1'),
    'fit_mask_codec --ann TRAIN.json': Rule(more='--workers 1 --iterations 2 --curve 20', slow=True),
    'boxes_to_masks': Rule({**SMALL, 'CONFIG': BOXED, 'CHECKPOINT': 'random_boxed.pth'}, options(HERE)),
    'mask_voting': Rule(more=f'--thresholds 0.5 {options(HERE)}'),
    'mask_voting configs/solo': Rule(SMALL | {'CHECKPOINT': 'random_solo.pth'}, slow=True),
    'error_analysis': Rule(),
    'compare': Rule(),
    'confusion': Rule(),
    'precision_recall': Rule({'person': 'circle', 'car': 'star'}),
    'calibration': Rule(),
    'ap_by_group': Rule(),
    'object_statistics': Rule(),
    'data_stats': Rule(slow=True),
    'mmagg data-stats': Rule({'DIR': 'mine'}, slow=True),
    'data_stats mine --config': Rule(),
    'check': Rule(),
    'paper_tables': Rule(slow=True),
    'count_launches': Rule(more='--shape 64 96 --candidates 10', slow=True),
    'get_flops': Rule(slow=True),
    'get_flops CONFIG': Rule(),
    'get_flops CONFIG --ann': Rule(slow=True),
    'benchmark': SMALL_RUN,
    'benchmark CONFIG': Rule(more='--shape 64 96 --runs 1 --candidates 10'),
    'benchmark CONFIG --vs CONFIG2': Rule(more='--shape 64 96 --runs 1 --candidates 10', slow=True),
    'benchmark_evaluation': Rule(more='--images 2'),
    'benchmark_aggregation': Rule(more='--candidates 4 --shape 16 16 --runs 1'),
    'benchmark_boxed_masks': SMALL_RUN,
    'benchmark_neck': SMALL_RUN,
    'benchmark_reassembly': SMALL_RUN,
    'benchmark_reassembly --device cuda': Rule(why='it takes a GPU'),
    'compare_learning': Rule(more=f'--seeds 0 {options(ONE_EPOCH)}', slow=True),
}


def ours(argv: list[str]) -> list[str] | None:
    """What follows ``mmagg`` in a command of ours; None for another program, as the fuzzer is."""
    if argv[0] == 'python' and argv[1].startswith('tools/') and argv[1] != 'tools/fuzz.py':
        assert (ROOT / argv[1]).is_file(), f'no {argv[1]}'
        return [Path(argv[1]).stem.replace('_', '-'), *argv[2:]]
    return argv[1:] if argv[0] == 'mmagg' else argv[3:] if argv[:3] == ['python', '-m', 'mmagg'] else None


def rule_of(command: str) -> Rule:
    """The rule whose words begin the command, of a script its name and what follows; the longest one counts."""
    text = re.sub(r'^python tools/(?:\w+/)*(\w+)\.py', r'\1', ' '.join(words(command)))
    fitting = [start for start in RULES if re.match(rf'{re.escape(start)}(?![\w-])', text)]
    assert fitting, f'a rule in {Path(__file__).name} is missing for: {command}'
    return RULES[max(fitting, key=len)]


def typed(command: str, rule: Rule) -> list[str]:
    """The words that the test types."""
    text = '\0'.join(['', *words(command), ''])
    for old, new in (WORDS | rule.words).items():
        text = text.replace(f' {old} '.replace(' ', '\0'), f' {new} '.replace(' ', '\0'))
    return [*filter(None, text.split('\0')), *rule.more.split()]
