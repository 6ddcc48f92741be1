"""An exported model in float16, by ONNX Runtime's converter."""

from typing import Any


def in_half(content: Any) -> Any:
    """The ONNX model with weights and arithmetic in float16; its input and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(content, keep_io_types=True, disable_shape_infer=True)
