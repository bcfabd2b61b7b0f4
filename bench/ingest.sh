#!/usr/bin/env bash
# Freshet's whole ingest path (a process from start to end: it reads the file, keeps state, takes checkpoints) against a bare
# simdjson on-demand loop over the same file, on one core, interleaved. The loop's first figure is processor time with the file
# already in its memory, the strictest rival; the second adds what reading the file costs. Freshet has two figures too: by the
# clock, and by processor time (user and system, all threads), which other work on the machine disturbs less.
#   bench/ingest.sh [RECORDS] [ROUNDS]        (default 20,000,000 records, 3.2 GB, 5 rounds)
# Needs the release preset: cmake --preset release && cmake --build --preset release
# FRESHET_BENCH_CPU (0) is the core, FRESHET_BENCH_FILE an existing file to use instead of a new one.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bin="${FRESHET_BIN_DIR:-$root/build/release/bin}"
cpu="${FRESHET_BENCH_CPU:-0}"
records="${1:-20000000}"
rounds="${2:-5}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
file="${FRESHET_BENCH_FILE:-$work/records.ndjson}"
[ -e "$file" ] || "$bin/ingest_decode_bench" --generate "$file" "$records"
cp "$root/bench/ingest.yaml" "$work/ingest.yaml"
sync "$file"  # else the kernel writes the file out during the first rounds
# What was written in small pieces lies in the page cache in pieces of 4 KiB and costs three times as much to read as a file that
# came from the disk: drop it and read it once.
dd if="$file" iflag=nocache count=0 status=none
cat "$file" > /dev/null

for name in ours ours_cpu theirs theirs_reading; do : > "$work/$name"; done
for ((round = 1; round <= rounds; ++round)); do
  read -r theirs theirs_reading < <(taskset -c "$cpu" "$bin/ingest_loop_native_bench" "$file" 1 |
    sed -n 's/^median: \([0-9.]*\) M records.s, \([0-9.]*\) .*/\1 \2/p')
  taskset -c "$cpu" "$bin/freshet" run "$work/ingest.yaml" --fresh --http off --json --state "$work/state" \
    --set "sources.records.path=$file" > "$work/report.json" 2> "$work/log" || { cat "$work/log"; exit 1; }
  read -r ours ours_cpu seconds peak epochs < <(python3 - "$work/report.json" "$records" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))["pipelines"][0]
seconds = report["elapsed_us"] / 1e6
assert report["records"] == int(sys.argv[2]), report["records"]
print(round(report["records"] / seconds / 1e6, 3), round(report["records"] / report["cpu_us"], 3), round(seconds, 3),
      round(report["peak_memory_bytes"] / 1e6), report["checkpoint"]["count"])
PY
)
  echo "round $round: bare loop $theirs M/s ($theirs_reading with reading), freshet $ours M/s ($ours_cpu by processor time; ${seconds} s, peak ${peak} MB, ${epochs} checkpoints)"
  for name in ours ours_cpu theirs theirs_reading; do echo "${!name}" >> "$work/$name"; done
done
median() { sort -n "$work/$1" | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
ratio() { awk "BEGIN {printf \"%.2f\", $1 / $2}"; }
a="$(median ours)"
p="$(median ours_cpu)"
b="$(median theirs)"
c="$(median theirs_reading)"
echo "median: freshet $a M records/s, $p by processor time; bare loop $b, $c with reading"
echo "ratio to the bare loop: $(ratio "$a" "$b"), by processor time $(ratio "$p" "$b"); with reading: $(ratio "$a" "$c"), by processor time $(ratio "$p" "$c")"
"$bin/freshet" version | tail -n +1
