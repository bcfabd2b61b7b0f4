#!/bin/bash
# Installs what is missing, builds, and runs the everyday tests under ctest (AddressSanitizer + UBSan, -O1).
#
#   scripts/test.sh [--preset release|debug|asan|tsan] [ctest options]
#
# Without -L it runs the label `fast`; `scripts/test.sh -L slow` runs the long suites, `-R NAME` selects by name.
# Tests on real data read FRESHET_DATA_DIR and say so when they skip.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

preset=asan
label=(-L fast)
args=()
while (($#)); do
  case $1 in
    --preset) preset=${2:?"--preset needs a name"}; shift ;;
    --preset=*) preset=${1#*=} ;;
    -h|--help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -L|--label-regex|-LE|--label-exclude) label=(); args+=("$1" "${2:?"$1 needs a label"}"); shift ;;
    *) args+=("$1") ;;
  esac
  shift
done
if [[ -n ${FRESHET_DATA_DIR:-} && -d $FRESHET_DATA_DIR ]]; then
  FRESHET_DATA_DIR=$(cd "$FRESHET_DATA_DIR" && pwd)
  export FRESHET_DATA_DIR
fi

scripts/setup.sh
cmake --preset "$preset" </dev/null
cmake --build --preset "$preset" </dev/null
ctest --preset "$preset" --output-on-failure "${label[@]}" ${args[@]+"${args[@]}"} </dev/null
