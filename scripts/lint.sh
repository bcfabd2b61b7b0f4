#!/bin/bash
# Reads the code with a second compiler and checks its form: clang-format, Clang 14 syntax-only, clang-tidy on the files given (or
# on none).
#   scripts/lint.sh [FILE.cc…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0
git ls-files '*.h' '*.cc' | xargs clang-format-14 --dry-run -Werror || status=1
git ls-files 'engine/*.cc' 'operators/*.cc' 'connectors/*.cc' | grep -vE '_(avx2|avx512|haswell)\.cc$' |
  xargs -P "$(nproc)" -I{} clang++-14 -std=c++20 -fsyntax-only -Wall -Wextra -Wno-unknown-warning-option \
    -DFRESHET_VERSION='"lint"' -I. {} || status=1
if (($# > 0)); then
  clang-tidy-14 -p build/release --quiet "$@" || status=1
fi
exit $status
