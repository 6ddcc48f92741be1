"""`torch.compile` for the parts of a detector that it pays for."""

from torch import nn

from mmagg.models.layers import ConvTower


def compile_parts(model: nn.Module, backend: str = 'inductor') -> list[nn.Module]:
    """Compile a detector's backbone, neck and conv towers, in place; its state dict stays the same.

    The rest chooses cells, chunks and candidates by the data; compiling it would gain little.

    Args:
        model: a detector.
        backend: of `torch.compile`.

    Returns:
        the compiled parts.
    """
    parts = [part for name, part in model.named_children() if name in ('backbone', 'neck')]
    parts += [part for part in model.modules() if isinstance(part, ConvTower)]
    for part in parts:
        part.compile(backend=backend)
    return parts
