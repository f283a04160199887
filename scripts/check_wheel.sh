#!/bin/sh
# Build the wheel, install it alone into a new folder, and check it from outside the checkout.
#   sh scripts/check_wheel.sh PYTHON       PYTHON: one that has codeact's dependencies
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps -w "$work" "$root"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/installed" "$work"/codeact-*.whl
cp "$root/scripts/check_wheel.py" "$work"
cd "$work"
PYTHONPATH="$work/installed" CODEACT_CACHE="$work/cache" "$python" check_wheel.py "$work/installed"
PYTHONPATH="$work/installed" "$python" -m codeact recipes demo --path
