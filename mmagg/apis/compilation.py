"""`torch.compile` for the parts of a detector that gain from it."""

from torch import nn

from mmagg.models.layers import ConvTower


def compile_parts(model: nn.Module, backend: str = 'inductor') -> list[nn.Module]:
    """Compile a detector's backbone, neck and conv towers, in place; its state dict stays the same.

    The rest depends on the data (cells, chunks, candidates), and would gain little.

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
