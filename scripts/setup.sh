#!/bin/bash
# Installs what the build needs from the system's own package sources (Debian 12). Safe to run again: when nothing is
# missing it asks dpkg only and ends at once.
set -euo pipefail

packages=(
  # compiler and build
  build-essential cmake ninja-build ccache pkg-config
  # data flow, state, parsing
  libtbb-dev libconcurrentqueue-dev librocksdb-dev libsimdjson-dev libyaml-cpp-dev libxsimd-dev libfast-float-dev
  libre2-dev libxxhash-dev zlib1g-dev libzstd-dev
  # time zones, special functions, network, program
  libhowardhinnant-date-dev tzdata libboost1.74-dev libcurl4-openssl-dev libssl-dev ca-certificates libcpp-httplib-dev
  libspdlog-dev libfmt-dev libcli11-dev
  # tests and benchmarks
  doctest-dev libbenchmark-dev
)

missing=()
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
for package in "${packages[@]}"; do
  grep -qx "ii  $package" <<<"$installed" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup: these packages are missing and need root to install: ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
echo "setup: installing ${missing[*]}"
# Quiet unless it fails; a failing update is not fatal, the index at hand may do.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "${root[@]}" apt-get update -q </dev/null >"$log" 2>&1; then
  echo "setup: apt-get update failed, trying with the package index at hand:" >&2
  tail -n 5 "$log" >&2
fi
if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
    </dev/null >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt-get could not install the packages; its last lines are above" >&2
  exit 1
fi
echo "setup: done"
