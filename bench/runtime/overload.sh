#!/bin/sh
# Overload for ten minutes and 30 GB through a pipe, with the curve of resident memory: overload.sh [SECONDS] [GIGABYTES]
# BUILD: the build directory (build/release).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build/release}
state=$(mktemp -d "${TMPDIR:-/tmp}/freshet_overload_XXXXXX")
trap 'rm -rf "$state"' EXIT
"$build/bin/overload_bench" "$build/bin/freshet" "$here/overload.yaml" "$state" "${1:-600}" "${2:-30}"
