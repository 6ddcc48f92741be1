"""Exported models in ONNX Runtime and in OpenVINO, on the CPU, in float32 where the file is.

Shape shorthand: B images of (H, W) pixels.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmagg.io.errors import InputError, one_line
from mmagg.runtime.onnx_file import onnx_metadata
from mmagg.runtime.signal_stack import kept_signal_stack

INPUT = 'image'
SIZES = 'img_shape'  # an input of those files of one shape that clip boxes to the image in it


class Session(Protocol):
    """A model that is loaded.

    Attributes:
        runtime: 'onnxruntime' or 'openvino'.
        dtype: of its input, uint8 or float32.
        batch: number of images that it takes at once; None for any.
        outputs: the names of its outputs.
    """

    runtime: str
    dtype: np.dtype
    batch: int | None
    outputs: tuple[str, ...]

    def run(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name of images (B, 3, H, W) of `dtype`, whose height and width without padding are (B, 2)."""


def open_session(path: str | Path, *, runtime: str | None = None, threads: int | None = None) -> Session:
    """Load an exported model.

    Args:
        path: the ONNX file.
        runtime: 'onnxruntime' or 'openvino'; by default the first that is installed.
        threads: number of them; by default one for each core.

    Raises:
        InputError: the file cannot be used, or no runtime is installed.
    """
    path = Path(path)
    onnx_metadata(path)
    if runtime is not None and runtime not in RUNTIMES:
        raise InputError(f'runtime {runtime}: give one of {", ".join(RUNTIMES)}')
    if threads is not None and threads < 1:
        raise InputError(f'threads {threads}: at least one')
    installed = [name for name in RUNTIMES if find_spec(name) is not None]
    wanted = runtime or next(iter(installed), None)
    if wanted is None:
        raise InputError(f'{path}: no runtime is installed: pip install onnxruntime')
    try:
        module = import_module(wanted)
    except ImportError as error:
        raise InputError(f'{wanted}: cannot be imported ({one_line(error)}): pip install {wanted}') from error
    try:
        session = RUNTIMES[wanted](module, path, threads)
    except Exception as error:  # of many kinds: what the runtime says of a graph that it cannot run
        raise InputError(
            f'{path}: {wanted} {module.__version__} cannot load it: {one_line(error)}; if the file is whole, a newer '
            f'one may: pip install -U {wanted}'
        ) from error
    return session


class OnnxRuntimeSession:
    """A model in ONNX Runtime; see `Session`."""

    runtime = 'onnxruntime'

    def __init__(self, module: Any, path: Path, threads: int | None) -> None:
        module.disable_telemetry_events()
        options = module.SessionOptions()
        options.log_severity_level = 4  # what fails is raised
        options.intra_op_num_threads = threads or 0
        self._session = module.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        inputs = {given.name: given for given in self._session.get_inputs()}
        image, self._takes_sizes = inputs[INPUT], SIZES in inputs
        self.dtype = np.dtype({'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}[image.type])
        self.batch = image.shape[0] if isinstance(image.shape[0], int) else None
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """As of `Session`."""
        feeds = {INPUT: images} | ({SIZES: sizes} if self._takes_sizes else {})
        return dict(zip(self.outputs, self._session.run(None, feeds), strict=True))


class OpenVinoSession:
    """A model in OpenVINO; see `Session`."""

    runtime = 'openvino'

    def __init__(self, module: Any, path: Path, threads: int | None) -> None:
        # Without the hint it computes in bfloat16 where the processor does.
        options = {'INFERENCE_PRECISION_HINT': 'f32', 'PERFORMANCE_HINT': 'LATENCY'}
        if threads is not None:
            options['INFERENCE_NUM_THREADS'] = str(threads)
        with kept_signal_stack():
            core = module.Core()
            self._request = core.compile_model(core.read_model(str(path)), 'CPU', options).create_infer_request()
        inputs = {given.any_name: given for given in self._request.model_inputs}
        image, self._takes_sizes = inputs[INPUT], SIZES in inputs
        self.dtype = np.dtype(image.element_type.to_dtype())
        batch = image.partial_shape[0]
        self.batch = batch.get_length() if batch.is_static else None
        self.outputs = tuple(output.any_name for output in self._request.model_outputs)

    def run(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """As of `Session`."""
        feeds = {INPUT: images} | ({SIZES: sizes} if self._takes_sizes else {})
        found = self._request.infer(feeds, share_inputs=True)
        return {output.any_name: found[output] for output in self._request.model_outputs}


RUNTIMES: dict[str, Callable[[Any, Path, int | None], Session]] = {
    'onnxruntime': OnnxRuntimeSession,
    'openvino': OpenVinoSession,
}
