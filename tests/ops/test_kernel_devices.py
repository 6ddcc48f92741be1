"""Triton launches on the current GPU: a kernel on tensors of another one must be launched on theirs."""

import ast
from pathlib import Path

import pytest

import mmagg.ops

FILES = sorted(Path(mmagg.ops.__file__).parent.glob('*.py'))


def launches(path: Path) -> list[tuple[ast.Call, bool]]:
    """The launches in a file, `kernel[grid](...)`, and whether each is within `torch.cuda.device_of`."""
    found = []

    def visit(node: ast.AST, guarded: bool) -> None:
        if isinstance(node, ast.With):
            guarded |= any('torch.cuda.device_of(' in ast.unparse(item.context_expr) for item in node.items)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript) and 'kernel' in ast.unparse(node.func):
            found.append((node, guarded))
        for child in ast.iter_child_nodes(node):
            visit(child, guarded)

    visit(ast.parse(path.read_text()), False)
    return found


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_kernel_is_launched_on_the_gpu_of_its_tensors(path: Path) -> None:
    assert [ast.unparse(call.func) for call, guarded in launches(path) if not guarded] == []


def test_launches_are_found() -> None:
    assert sum(len(launches(path)) for path in FILES) >= 8
