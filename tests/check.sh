#!/bin/sh
# The README's test command: install what is missing, build, run every test.
#   sh tests/check.sh [VARIANT]      release (default), asan, tsan
set -eu
cd "$(dirname "$0")/.."
if ! command -v make >/dev/null; then
    echo "check: installing make"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends make >/dev/null
fi
make deps
exec make -j"$(nproc)" check VARIANT="${1:-release}"
