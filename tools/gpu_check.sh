#!/usr/bin/env bash
# What a GPU does with this clone, in at most ten minutes, as one Markdown table (gpu_check.md, or OUT):
#   tools/gpu_check.sh WHEELS [OUT] [--device cuda:0] [--shape H W] [--seconds 570]
# WHEELS is a folder of wheels that are unpacked beside what is installed: onedl-mmengine, onedl-mmdetection, onedl-mmcv and
# what they need; an empty one where nothing is missing. Nothing is downloaded. Where mmcv is not compiled, NMS is
# torchvision's and the focal loss PyTorch's. PYTHON=/path/to/python is the Python to use, by default `python`.
set -euo pipefail

usage() { sed -n '2,6s/^# //p' "$0"; }
case "${1-}" in
-h | --help) usage && exit ;;
'') usage >&2 && exit 2 ;;
esac
if [ ! -d "$1" ]; then
    echo "error: WHEELS $1: no such folder (tools/gpu_check.sh --help)" >&2
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
