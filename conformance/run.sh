#!/usr/bin/env bash
# Runs CPython's tests of asyncio on sendloop and compares them with plain asyncio.
#   conformance/run.sh [PYTHON]...     CPython 3.11, 3.12 and 3.13 unless named
set -euo pipefail
cd "$(dirname "$0")/.."
target=$PWD/target/conformance

# The build needs no Python: the module uses the stable interface.
PYO3_NO_PYTHON=1 cargo build --locked --quiet --manifest-path conformance/Cargo.toml \
  --target-dir "$target"
mkdir -p "$target/module"
# A process may have the old file mapped, so this replaces it and does not write to it.
cp "$target/debug/libsendloop_python.so" "$target/module/new"
mv "$target/module/new" "$target/module/sendloop_python.so"
export PYTHONPATH=$target/module:$PWD/conformance/python PYTHONDONTWRITEBYTECODE=1

can_run() { # PYTHON
  "$1" -c 'import sys, test.test_asyncio; assert sys.version_info >= (3, 11)' 2>/dev/null
}

# Prints a Python 3.MINOR that has its test package, from PATH or from pyenv.
find_python() { # MINOR
  local python
  for python in "python3.$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$1".*/bin/python3; do
    if can_run "$python"; then echo "$python"; return; fi
  done
  return 1
}

pythons=("$@")
if [ $# -eq 0 ]; then
  for minor in 11 12 13; do
    if python=$(find_python $minor); then
      pythons+=("$python")
    elif [ $minor = 11 ]; then
      echo "CPython 3.11 with its test package is needed" >&2
      exit 1
    else
      echo "CPython 3.$minor: skipped: it is not installed with its test package"
    fi
  done
fi

failed=0
for python in "${pythons[@]}"; do
  can_run "$python" || { echo "$python is not a CPython 3.11 or later with tests" >&2; exit 1; }
  version=$("$python" -c 'import platform; print(platform.python_version())')
  "$python" conformance/python/compare.py "$target/$version" || failed=1
done
exit $failed
