"""Arguments that several commands share. Heavy modules are imported in functions: `--help` answers on any machine."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmagg.io.errors import TRUST_FLAG, InputError
from mmagg.io.option_values import holds_dict, read_value

CONFIG = 'config file, or mmagg::<path> or mmdet::<path>'
MODEL = f'{CONFIG}; or the file of an exported model, .onnx, without a checkpoint'
RUNTIMES = ('onnxruntime', 'openvino')


def at_least(least: int) -> Callable[[str], int]:
    """An argument type: an integer that is not below ``least``."""

    def integer(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f'{text} is below {least}')
        return int(text)

    return integer


positive = at_least(1)


def seed(text: str) -> int:
    """An argument type: a seed of random numbers."""
    if not 0 <= int(text) < 2**32:  # NumPy's
        raise argparse.ArgumentTypeError(f'{text} is not a whole number from 0 to {2**32 - 1}')
    return int(text)


def fraction(text: str) -> float:
    """An argument type: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{value} is not between 0 and 1')
    return value


class OptionsAction(argparse.Action):
    """mmengine's ``KEY=VALUE`` arguments, and dicts; any other text is refused by an error that names this form."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add ``values`` to the options of ``namespace``."""
        from mmengine.config import DictAction

        for value in values:
            if '=' not in value:
                parser.error(f'{option_string} {value}: write KEY=VALUE')
        read = DictAction(self.option_strings, self.dest)
        try:
            for value in values:
                key, text = value.split('=', maxsplit=1)
                if holds_dict(text):
                    options = getattr(namespace, self.dest, None) or {}
                    setattr(namespace, self.dest, {**options, key: read_value(text)})
                else:
                    read(parser, namespace, [value], option_string)
        except (AssertionError, RecursionError, ValueError) as error:  # unbalanced brackets; what is no value
            raise InputError(
                f'{option_string} {" ".join(values)}: a value is a number, a text, a list or a dict(…) of them; what '
                'is more goes into a config file'
            ) from error


def add_model(parser: argparse.ArgumentParser, config: str = CONFIG) -> None:
    """The config file, with the help text ``config``, and the checkpoint."""
    parser.add_argument('config', help=config)
    parser.add_argument('checkpoint', help='.pth file')


class Intermixed(argparse.ArgumentParser):
    """A parser whose optional positional arguments may also stand after options."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of `argparse`."""
        return self.parse_intermixed_args(args, namespace)


def add_weights(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--weights``; ``purpose`` begins its help."""
    parser.add_argument(
        '--weights',
        metavar='NAME|FILE|URL',
        help=f"{purpose} a name of `mmagg weights`, a file or a URL, fetched once and, if others', converted",
    )


def add_model_options(parser: argparse.ArgumentParser, text: str = 'change the config') -> None:
    """``--device``, ``--cfg-options`` with the help ``text``, and ``--trust-checkpoint``."""
    add_device(parser)
    add_cfg_options(parser, text)
    add_trust_flag(parser)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """``--runtime``."""
    parser.add_argument(
        '--runtime', choices=RUNTIMES, help='what runs an exported model (default: the first that is installed)'
    )


def add_cfg_options(parser: argparse.ArgumentParser, text: str) -> None:
    """``--cfg-options``; ``text`` is its help."""
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', help=text)


def add_coco(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--coco``; ``purpose`` is the verb of its help."""
    parser.add_argument(
        '--coco',
        type=Path,
        metavar='DIR',
        help=f'{purpose} on this COCO-format folder: annotations/instances_{{train,val}}.json, images/{{train,val}}/',
    )


def add_skip_check(parser: argparse.ArgumentParser) -> None:
    """``--skip-check``."""
    parser.add_argument('--skip-check', action='store_true', help='do not look at each image and annotation first')


def add_compile_flag(parser: argparse.ArgumentParser) -> None:
    """``--compile``."""
    parser.add_argument(
        '--compile',
        action='store_true',
        help='torch.compile backbone, neck and towers: minutes at the start (again for every new image size, until '
        'PyTorch makes sizes variable), faster steps after it; needs a C++ compiler',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that training and testing share."""
    add_cfg_options(
        parser, 'change the config, e.g. train_dataloader.batch_size=4; "[1,2]" is a list, "dict(a=1)" a dict'
    )
    add_compile_flag(parser)
    launchers = ('none', 'pytorch', 'slurm', 'mpi')
    parser.add_argument('--launcher', choices=launchers, default='none', help='set by dist_*.sh and slurm_*.sh')
    add_trust_flag(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, by default the GPU where there is one."""
    parser.add_argument('--device', help='e.g. cpu or cuda:0 (default: the GPU where there is one)')


def add_measured_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, by default the CPU, and ``--threads``, for measurements."""
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')


def add_trust_flag(parser: argparse.ArgumentParser, purpose: str = 'read checkpoints that hold code') -> None:
    """``--trust-checkpoint``."""
    parser.add_argument(TRUST_FLAG, action='store_true', help=f'{purpose}; only from sources you trust')


def add_result_files(parser: argparse.ArgumentParser, *results: str) -> None:
    """The annotation file, ``results`` files, ``--iou-type`` and ``--max-dets``."""
    parser.add_argument('annotations', type=Path, metavar='ANN', help='annotations in COCO format, JSON')
    for name in results:
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help='results in COCO format: a list of image_id, category_id, score and segmentation (RLE) or bbox',
        )
    parser.add_argument(
        '--iou-type', choices=('segm', 'bbox'), default='segm', help='compare masks or boxes (%(default)s)'
    )
    parser.add_argument(
        '--max-dets',
        type=positive,
        default=100,
        metavar='N',
        help='detections of a class in an image that count, the most certain ones (%(default)s, as COCO has it)',
    )


def read_result_files(args: argparse.Namespace, *results: str) -> tuple[Any, ...]:
    """The annotations, then each file of ``results``.

    Before that, ``--out`` is refused if one of them lies in it, or if it cannot be written to.
    """
    from mmagg.datasets.coco_reader import read_truth
    from mmagg.io.files import check_folder
    from mmagg.io.paths import keep_apart

    keep_apart({'--out': args.out}, [args.annotations, *(getattr(args, name) for name in results)])
    if args.out:
        check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    return truth, *read_results(args, truth, *results)


def read_results(args: argparse.Namespace, truth: Any, *results: str) -> list[Any]:
    """Each file of ``results``; a line on stderr says where objects are more than the detections that count."""
    from mmagg.datasets.coco_objects import more_than_count
    from mmagg.datasets.coco_reader import read_detections

    objects, limit = truth.objects[~truth.objects.crowd], args.max_dets
    places = zip(objects.images.tolist(), objects.labels.tolist(), strict=True)
    line = more_than_count(places, images=len(truth.image_ids), max_dets=limit, option='--max-dets {}')
    if line:
        print(f'warning: {line}', file=sys.stderr)
    return [read_detections(getattr(args, name), truth, max_dets=limit) for name in results]
