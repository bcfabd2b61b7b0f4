#!/bin/bash
# isa_symbols.sh LIBRARY_FOLDER CXX
#
# An object compiled for one instruction set must not carry weak symbols that another object may have too: the linker
# keeps one copy, perhaps this one, and an older CPU meets an illegal instruction (LIBRARIES.md, xsimd). Looks into
# every archive of the folder for members named *_avx2, *_avx512, *_haswell. First proves that it can fail.
set -euo pipefail
libraries=$1
cxx=$2

# foreign_symbols OBJECT: its defined weak symbols whose names do not tell the instruction set.
foreign_symbols() {
  nm --defined-only --demangle "$1" | awk '$2 ~ /^[WVu]$/' | grep -vE 'avx2|avx512|haswell' |
    grep -vE ' (DW\.ref\.|typeinfo|vtable|__odr_asan)' || true
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/planted_avx2.cc" <<'CODE'
#include <vector>
int Sum(std::vector<int>& v) { v.push_back(1); return v.at(0); }
CODE
"$cxx" -std=c++20 -O1 -fno-inline -mavx2 -c "$scratch/planted_avx2.cc" -o "$scratch/planted.o"
if [[ -z $(foreign_symbols "$scratch/planted.o") ]]; then
  echo "self test failed: a planted std::vector went unseen" >&2
  exit 1
fi

failed=0
seen=0
for archive in "$libraries"/libfreshet_*.a; do
  [[ -e $archive ]] || continue
  for member in $(ar t "$archive" | grep -E '_(avx2|avx512|haswell)\.cc\.o$' || true); do
    seen=$((seen + 1))
    ar p "$archive" "$member" >"$scratch/member.o"
    found=$(foreign_symbols "$scratch/member.o")
    if [[ -n $found ]]; then
      failed=1
      printf '%s(%s) carries weak symbols of others:\n%s\n' "$(basename "$archive")" "$member" "$found" >&2
    fi
  done
done
echo "$seen instruction-set objects looked at"
exit "$failed"
