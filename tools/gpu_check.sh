#!/usr/bin/env bash
# What a GPU does with this clone, in at most ten minutes, as one Markdown table (gpu_check.md, or OUT):
#   tools/gpu_check.sh WHEELS [OUT] [--device cuda:0] [--shape H W] [--seconds 570]
# WHEELS is a folder of wheels that are unpacked beside what is installed: onedl-mmengine, onedl-mmdetection, onedl-mmcv and
# what they need. Nothing is downloaded. Where mmcv is not compiled, NMS is torchvision's and the focal loss PyTorch's.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi

WHEELS=$(cd "$1" && pwd)
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python}
SITE=$(mktemp -d)
trap 'rm -rf "$SITE"' EXIT

found=("$WHEELS"/*.whl)
if [ -e "${found[0]}" ]; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --target "$SITE" "${found[@]}" >&2
fi
export PYTHONPATH="$ROOT:$SITE${PYTHONPATH:+:$PYTHONPATH}"
"$PYTHON" -m mmagg.costs.gpu_check "${@:2}"
