"""What the pretended CUDA device counts, refuses and computes, seen from within a guarded process."""

from collections.abc import Callable
from typing import Any

import torch
from mmcv.ops import batched_nms, sigmoid_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from mmagg.costs.pretended_cuda import DEVICE, PretendedCUDA, PretendedTensor, pretended_cuda, values_of

ON_HOST = torch.arange(6.0).reshape(2, 3)
INDEX = torch.tensor([1, 0])


def there(x: torch.Tensor = ON_HOST) -> PretendedTensor:
    return PretendedTensor(x.clone())


def assign(x: torch.Tensor, index: Any, value: Any) -> None:
    x[index] = value


# Each with the number of its waits, as PyTorch's source for CUDA has them.
WAITS: dict[str, tuple[int, Callable[[], Any]]] = {
    'item': (1, lambda: there().sum().item()),
    'truth': (1, lambda: bool(there().sum() > 0)),
    'tolist': (1, lambda: there().tolist()),
    'to the host': (1, lambda: there().cpu()),
    'to the device': (1, lambda: ON_HOST.to(DEVICE)),
    'to the device, not waited for': (0, lambda: ON_HOST.to(DEVICE, non_blocking=True)),
    'tensor': (1, lambda: torch.tensor([1.0], device='cuda')),
    'as_tensor': (1, lambda: torch.as_tensor([1.0], device='cuda')),
    'new_tensor': (1, lambda: there().new_tensor([1.0])),
    'made there': (0, lambda: torch.arange(3, device='cuda') + torch.zeros(3, device='cuda')),
    'nonzero': (1, lambda: there().nonzero()),
    'unique': (1, lambda: there().unique()),
    'by a mask': (1, lambda: there()[there() > 1]),
    'number by a mask': (0, lambda: assign(there(), there() > 1, 0)),
    'by an index on the host': (1, lambda: there()[INDEX]),
    'by an index': (0, lambda: there()[there(INDEX)]),
    'by a list': (1, lambda: there()[[0, 1]]),
    'by a slice': (0, lambda: there()[:, 1:]),
    'repeated': (1, lambda: there().repeat_interleave(there(INDEX), 0)),
    'repeated to a known length': (0, lambda: there().repeat_interleave(there(INDEX), 0, output_size=1)),
    'a number of the host': (0, lambda: there() * torch.tensor(2.0)),
    'nms': (
        2,
        lambda: batched_nms(
            there(torch.rand(3, 4)), there(torch.rand(3)), there(INDEX[[0, 1, 0]]), dict(iou_threshold=0.5)
        ),
    ),
}
REFUSED: dict[str, Callable[[], Any]] = {
    'sum of both devices': lambda: there() + ON_HOST,
    'cat of both devices': lambda: torch.cat([there(), ON_HOST]),
    'index of the device in the host': lambda: ON_HOST[there(INDEX)],
    'values of the host': lambda: assign(there(), there(INDEX), ON_HOST),
    'numpy': lambda: there().numpy(),
    'two dtypes': lambda: there().half() @ there().t(),
    'focal loss in bfloat16': lambda: sigmoid_focal_loss(there().bfloat16(), there(INDEX), 2.0, 0.25, None, 'none'),
}


def waits(cuda: PretendedCUDA, call: Callable[[], Any]) -> int:
    cuda.forget()
    call()
    return cuda.num_waits


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (RuntimeError, TypeError):
        return True
    return False


def gradient(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    function(x).sum().backward()
    return values_of(x.grad)


def focal(x: torch.Tensor) -> torch.Tensor:
    return sigmoid_focal_loss(x, there(INDEX), 2.0, 0.25, None, 'none')


def plain_focal(x: torch.Tensor) -> torch.Tensor:
    return py_sigmoid_focal_loss(x, torch.nn.functional.one_hot(INDEX, 3), reduction='none')


def sampled(x: torch.Tensor) -> torch.Tensor:
    grid = torch.zeros(1, 2, 2, 2, device=x.device)
    return torch.nn.functional.grid_sample(x[None, None], grid, align_corners=False)


def checked() -> dict[str, Any]:
    """All findings."""
    with pretended_cuda() as cuda:
        found: dict[str, Any] = {
            'waits': {name: waits(cuda, call) for name, (_, call) in WAITS.items()},
            'refused': {name: refused(call) for name, call in REFUSED.items()},
        }
        cuda.forget()
        there().t()[1:].unsqueeze(0)
        (there() + 1).relu_().add_(1)
        found['launches'] = cuda.num_launches
        found['gradients'] = {
            name: torch.allclose(gradient(function, there()), gradient(plain, ON_HOST), rtol=1e-4, atol=1e-6)
            for name, function, plain in (
                ('square', torch.square, torch.square),
                ('focal', focal, plain_focal),
                ('sampled', sampled, sampled),
            )
        }
        with torch.autocast('cuda', torch.bfloat16):
            found['autocast'] = [
                str(x.dtype) for x in (there() @ there().t(), there().half().softmax(0), there().half() + 1)
            ]
        torch.use_deterministic_algorithms(True)
        found['nondeterministic'] = refused(lambda: gradient(sampled, there()))
        torch.use_deterministic_algorithms(False)
        linear = torch.nn.Linear(3, 1).to(DEVICE)
        found['module'] = (
            type(linear.weight).__name__,
            linear.weight.is_cuda,
            isinstance(linear.bias, torch.nn.Parameter),
        )
    return found
