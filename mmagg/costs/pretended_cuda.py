"""A CUDA device that is pretended: what a model would launch and wait for on a GPU, counted where there is none.

A `PretendedTensor` says that it is on ``cuda:0``, and has its values on the CPU. In a `PretendedCUDA` every operator on
such tensors is carried out on the CPU and counted. Values are real, unlike those of PyTorch's fake tensors: code that
depends on them runs (NMS, `nonzero`, `item`), autocast and autograd do what they do on CUDA, branches by device take
the GPU's side, and what CUDA would refuse raises.

The process must be one of `cuda_guard.guarded`.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from mmagg.costs import pretended_mmcv
from mmagg.ops import window_ops
from mmagg.ops.reassembly_choice import VARIABLE

DEVICE = torch.device('cuda', 0)
MEMORY = 24 * 2**30
PROJECTS = ('mmagg', 'mmdet', 'mmcv', 'mmengine')
PACKAGE = os.path.dirname(os.path.dirname(__file__))
LIBRARIES = tuple(os.path.dirname(os.path.dirname(x)) + os.sep for x in (os.__file__, torch.__file__))
LINE = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)')  # of a traceback
HALVES = (torch.float16, torch.bfloat16)
# Of what changes no memory of the device, views aside.
FREE = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', 'lift_fresh', '_unsafe_view', 'set_'}
FREE |= {'resize_', 'is_same_size', '_local_scalar_dense', '_assert_tensor_metadata'}
# Their result's size or value goes to the host.
WAITS = {'_local_scalar_dense', 'nonzero', '_unique2', 'unique_dim', 'unique_consecutive', 'masked_select', 'equal'}
WAITS |= {'bincount', 'histc'}
INDEXING = {'index', '_unsafe_index', 'index_put', 'index_put_', '_index_put_impl_', '_unsafe_index_put'}
# Tensor cores multiply 16 bits and add in 32; the CPU would take minutes, or has no such operator.
PRODUCTS = {'convolution', 'convolution_backward', 'addmm', 'mm', 'bmm', 'baddbmm', 'baddbmm_', 'addmm_'}
# https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
NONDETERMINISTIC = {'upsample_bilinear2d_backward', 'grid_sampler_2d_backward', 'reflection_pad2d_backward', 'histc'}
NONDETERMINISTIC |= {'_adaptive_avg_pool2d_backward', 'adaptive_max_pool2d_backward', 'scatter_reduce', 'put_', 'put'}
NONDETERMINISTIC |= {'scatter_add', 'scatter_add_', 'replication_pad2d_backward', 'nll_loss2d_forward', 'kthvalue'}


class PretendedTensor(torch.Tensor):
    """A tensor that says it is on `DEVICE`; its values are `on_host`."""

    on_host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as PyTorch's own do

    @staticmethod
    def __new__(cls, values: Tensor) -> 'PretendedTensor':
        out = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=DEVICE,
        )
        out.on_host = values
        return out

    def __repr__(self) -> str:  # type: ignore[override]  # the device's contents are no argument
        return f'PretendedTensor({self.on_host})'

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # of which the stubs know no arguments
        cls, func: Any, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _active[-1].call(func, args, kwargs or {})  # autograd's threads are in no mode


class PretendedCUDA(TorchDispatchMode):
    """Carries out and counts what happens on the pretended device; see `pretended_cuda`.

    Attributes:
        launches: by operator and place; an operator counts as one launch.
        waits: of the host for the device, by their reason and place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[tuple[str, str]] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple = (), kwargs: dict | None = None) -> Any:
        return self.call(func, args, kwargs or {})

    @property
    def num_launches(self) -> int:
        """Of all operators."""
        return sum(self.launches.values())

    @property
    def num_waits(self) -> int:
        """For all reasons."""
        return sum(self.waits.values())

    def forget(self) -> None:
        """Count from zero."""
        self.launches.clear()
        self.waits.clear()

    def launch(self, name: str) -> None:
        """Count a launch."""
        self.launches[name, place()] += 1

    def wait(self, reason: str) -> None:
        """Count a wait."""
        self.waits[reason, place()] += 1

    def call(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """An operator of PyTorch."""
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        pretended = [x for x in tensors if isinstance(x, PretendedTensor)]
        device = kwargs.get('device')
        to_cuda = on_cuda(device)
        if not pretended and not to_cuda:
            return func(*args, **kwargs)
        name = func._schema.name.split('::')[1]
        if name == '_to_copy':
            return self.copy(args[0], kwargs)
        if name == 'copy_' and len(pretended) == 1:
            return self.copy_between(*args)
        self.check(name, func, args, tensors)
        if name in WAITS or (name == 'repeat_interleave' and kwargs.get('output_size') is None):
            self.wait(name.strip('_'))
        if not (func.is_view or name in FREE):
            self.launch(name)
        places = {'device': torch.device('cpu')} if 'device' in kwargs else {}
        out = carried_out(name, func, values_of(args), values_of(kwargs) | places)
        if device is not None and not to_cuda:
            return out
        out = tree_map(lambda x: PretendedTensor(x) if isinstance(x, Tensor) else x, out)
        if any(returned.alias_info is not None for returned in func._schema.returns):
            return return_and_correct_aliasing(func, args, kwargs, out)
        return out

    def copy(self, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
        """A copy with another dtype, layout or device; between the devices it may wait."""
        device = kwargs.get('device')
        here, there = source.device.type == 'cuda', on_cuda(device) if device is not None else source.is_cuda
        blocking = not kwargs.get('non_blocking', False)
        options = {key: value for key, value in kwargs.items() if key not in ('device', 'non_blocking', 'pin_memory')}
        out = torch.ops.aten._to_copy.default(values_of(source), **options)
        if there:
            self.launch('_to_copy' if here else 'copy to the device')
            if blocking and not here:
                self.wait('copy to the device')
            return PretendedTensor(out)
        self.wait('copy to the host')  # whether or not it is blocking: its values are looked at
        return out

    def copy_between(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        """A copy into a tensor on the other device."""
        if target.is_cuda:
            self.launch('copy_')
        if not target.is_cuda or (not non_blocking and source.ndim):
            self.wait(f'copy to the {"device" if target.is_cuda else "host"}')
        values_of(target).copy_(values_of(source))
        return target

    def check(self, name: str, func: Any, args: tuple, tensors: list[Tensor]) -> None:
        """Refuse what CUDA refuses, and count what indices wait for.

        Raises:
            RuntimeError: tensors of both devices; a product of two dtypes; an operator without a deterministic form
                where only those are allowed.
        """
        if name in INDEXING:
            own, indices, *values = args
            given = [index for index in indices if index is not None]
            if not own.is_cuda or any(isinstance(x, Tensor) and x.ndim and not x.is_cuda for x in values[:1]):
                raise RuntimeError(f'{name}: tensors of both devices')
            for index in given:
                if not index.is_cuda:
                    self.wait('index on the host')
                if index.dtype in (torch.bool, torch.uint8) and not (values and values[0].numel() == 1):
                    self.wait('index by a mask')
        elif any(not x.is_cuda and x.ndim for x in tensors):  # a number is read from where it is
            shapes = ', '.join(f'{tuple(x.shape)} on {x.device}' for x in tensors)
            raise RuntimeError(f'{func}: tensors of both devices: {shapes}')
        kinds = {x.dtype for x in tensors if x.is_floating_point()}
        if name in PRODUCTS - {'convolution_backward'} and len(kinds) > 1:
            raise RuntimeError(f'{func}: a product of {kinds}')
        if name in NONDETERMINISTIC and torch.are_deterministic_algorithms_enabled():
            raise RuntimeError(f'{name} does not have a deterministic implementation')


_active: list[PretendedCUDA] = []


class PretendedFunctions(TorchFunctionMode):
    """Functions that PyTorch carries out below the operators, where nobody could count them."""

    def __init__(self, cuda: PretendedCUDA) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_function__(self, func: Any, types: Sequence[type], args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        first: Any = args[0] if args else None
        pretended = isinstance(first, PretendedTensor)
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            return self.made(func, args, kwargs)
        if func is Tensor.cuda:
            return first.to(DEVICE)
        if func is Tensor.pin_memory:
            return first
        if pretended and func is Tensor.tolist:
            self.cuda.wait('copy to the host')
            return first.on_host.tolist()
        if pretended and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if pretended and func in (Tensor.__getitem__, Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (first, tuple(self.uploaded(x) for x in index), *args[2:])
        return func(*args, **kwargs)

    def made(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """A tensor made of numbers: on the host, then it is copied."""
        device = kwargs.pop('device', None)
        data = args[1] if func is Tensor.new_tensor else args[0] if args else kwargs['data']
        if func is Tensor.new_tensor:
            device, kwargs['dtype'] = device or args[0].device, kwargs.get('dtype') or args[0].dtype
            func, args = torch.tensor, args[1:]
        if isinstance(data, PretendedTensor):
            return data.to(device=device, dtype=kwargs.get('dtype'))
        if not on_cuda(device):
            return func(*args, **kwargs, device=device)
        requires_grad = kwargs.pop('requires_grad', False)
        return func(*args, **kwargs).to(DEVICE).requires_grad_(requires_grad)

    def uploaded(self, index: Any) -> Any:
        """A list in an index becomes a tensor of the device."""
        return torch.tensor(list(index)).to(DEVICE) if isinstance(index, list | range) else index


@contextmanager
def pretended_cuda() -> Iterator[PretendedCUDA]:
    """Within the block ``cuda`` is the pretended device, of which the counts are yielded."""
    cuda = PretendedCUDA()
    properties: dict[str, Any] = {
        'is_available': lambda: True,
        '_lazy_init': lambda: None,
        'current_device': lambda: 0,
        'device_count': lambda: 1,
        'is_bf16_supported': lambda *_, **__: True,
        'get_device_capability': lambda *_: (9, 0),
        'get_device_properties': lambda *_: SimpleNamespace(total_memory=MEMORY),
        'synchronize': lambda *_: cuda.wait('synchronize'),
    }
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(torch.cuda, **properties))
        stack.enter_context(mock.patch.dict(os.environ, {VARIABLE: 'torch'}))  # one operator, as Triton's kernel is
        # Operators that Triton computes on CUDA are chosen whether or not it is installed.
        stack.enter_context(mock.patch.object(window_ops, 'fused', lambda device: torch.device(device).type == 'cuda'))
        stack.enter_context(pretended_mmcv.on_values(_kernel(cuda)))
        # `Module.to` would keep a parameter that is none of ours.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
        _active.append(cuda)
        stack.callback(_active.pop)
        stack.enter_context(cuda)
        stack.enter_context(PretendedFunctions(cuda))
        yield cuda


def _kernel(cuda: PretendedCUDA) -> Callable:
    """What `pretended_mmcv` calls for a kernel with its function of the CPU."""

    def kernel(name: str, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not any(isinstance(x, PretendedTensor) for x in tensors):
            return function(*args, **kwargs)
        if any(not x.is_cuda and x.numel() for x in tensors):
            raise RuntimeError(f'{name}: tensors of both devices')
        cuda.launch(name)
        if 'nms' in name:
            cuda.wait(name)
        out = function(*values_of(args), **values_of(kwargs))
        return tree_map(lambda x: PretendedTensor(x) if isinstance(x, Tensor) else x, out)

    return kernel


def on_cuda(device: Any) -> bool:
    """True for a CUDA device, given in any form."""
    return device is not None and torch.device(device).type == 'cuda'


def values_of(tree: Any) -> Any:
    """Arguments with their values in place of the pretended tensors."""
    return tree_map(lambda x: x.on_host if isinstance(x, PretendedTensor) else x, tree)


def carried_out(name: str, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of an operator on the CPU, with CUDA's dtypes."""
    if name in ('_softmax', '_log_softmax') and args[2]:  # to float32 on the way
        return func(args[0].float(), args[1], False)
    if name in ('_softmax_backward_data', '_log_softmax_backward_data') and args[3] != args[0].dtype:
        return func(*args[:3], args[0].dtype).to(args[3])
    halves = {x.dtype for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.dtype in HALVES}
    if name in PRODUCTS and halves and not name.endswith('_'):
        return in_float32(func, args, kwargs, halves.pop())
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        if not halves or 'not implemented for' not in str(error):
            raise
        return in_float32(func, args, kwargs, halves.pop())


def in_float32(func: Any, args: tuple, kwargs: dict[str, Any], dtype: torch.dtype) -> Any:
    """The result of an operator in float32, rounded to a dtype."""
    args, kwargs = tree_map(lambda x: x.float() if isinstance(x, Tensor) and x.dtype in HALVES else x, (args, kwargs))
    return tree_map(
        lambda x: x.to(dtype) if isinstance(x, Tensor) and x.dtype == torch.float32 else x, func(*args, **kwargs)
    )


# Where it happens


def place() -> str:
    """File, line and function that call an operator: of mmagg, and the innermost of what it calls, a user's file too.

    In backward it is where the operator was called that is differentiated, if anomaly detection is on.
    """
    inner = ''
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if _is_of_a_model(module, frame.f_code.co_filename):
            here = f'{module.replace(".", "/")}.py:{frame.f_lineno} {frame.f_code.co_name}'
            if module.startswith('mmagg.'):
                return f'{here} ({inner})' if inner else here
            inner = inner or here
        frame = frame.f_back
    node = torch._C._current_autograd_node()
    return inner or '-' if node is None else f'backward of {_origin(node)}'


def _is_of_a_model(module: str, file: str) -> bool:
    """True for a module of `PROJECTS`, and for one of the user's own, which lies beside no library."""
    if module.partition('.')[0] in PROJECTS:
        return not module.startswith('mmagg.costs.')
    return os.path.isabs(file) and not file.startswith(LIBRARIES)


def _origin(node: Any) -> str:
    """The place that a node of autograd's graph comes from, else its name."""
    for entry in reversed(node.metadata.get('traceback_', [])):
        found = LINE.match(entry)
        if found and found['file'].startswith(f'{PACKAGE}{os.sep}') and f'{os.sep}costs{os.sep}' not in found['file']:
            return f'mmagg{found["file"].removeprefix(PACKAGE)}:{found["line"]} {found["function"]}'
    return node.name()
