#!/usr/bin/env bash
# Scaling from one core to two, as a share of what the machine itself gives: two independent bare loops, each on its core and its
# half of the records, against Freshet on both cores (one process, two lanes) over the whole file, in the same rounds.
#   bench/scaling.sh [RECORDS] [ROUNDS]       (default 10,000,000 records, 5 rounds)
# Prints, per round and as medians: the gain of two loops over one (by processor time, as in ingest.sh), the gain of Freshet on two
# cores over Freshet on one by the clock, and the second as a share of the first; and the same share by processor time, which is
# the most that the clock could show: twice what a record costs on one core over what it costs on two. Where other work runs on the
# machine only the last means anything. FRESHET_BENCH_CPUS ("0 1") are the cores.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bin="${FRESHET_BIN_DIR:-$root/build/release/bin}"
read -r first second <<< "${FRESHET_BENCH_CPUS:-0 1}"
records="$(( (${1:-10000000} + 1) / 2 * 2 ))"
rounds="${2:-5}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
file="$work/records.ndjson"
"$bin/ingest_decode_bench" --generate "$file" "$records"
half="$((records / 2))"
head -n "$half" "$file" > "$work/a.ndjson"
tail -n "$half" "$file" > "$work/b.ndjson"
cp "$root/bench/ingest.yaml" "$work/ingest.yaml"
sync "$file" "$work/a.ndjson" "$work/b.ndjson"
for f in "$file" "$work/a.ndjson" "$work/b.ndjson"; do
  dd if="$f" iflag=nocache count=0 status=none  # see ingest.sh
  cat "$f" > /dev/null
done

loop() { taskset -c "$1" "$bin/ingest_loop_native_bench" "$2" 1 | sed -n 's/^median: \([0-9.]*\) .*/\1/p'; }
ours() {
  taskset -c "$1" "$bin/freshet" run "$work/ingest.yaml" --fresh --http off --json --state "$work/state" \
    --set "sources.records.path=$file" --set settings.parallelism=auto > "$work/report.json" 2> "$work/log" ||
    { cat "$work/log" >&2; exit 1; }
  python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["pipelines"][0]
print(round(r["records"] / r["elapsed_us"], 3), round(r["records"] / r["cpu_us"], 3))' "$work/report.json"
}
for name in loops gain share share_cpu; do : > "$work/$name"; done
for ((round = 1; round <= rounds; ++round)); do
  one_loop="$(loop "$first" "$work/a.ndjson")"
  loop "$first" "$work/a.ndjson" > "$work/rate_a" & loop_a=$!
  loop "$second" "$work/b.ndjson" > "$work/rate_b" & loop_b=$!
  wait "$loop_a" "$loop_b"
  read -r one one_cpu < <(ours "$first")
  read -r two two_cpu < <(ours "$first,$second")
  read -r loops gain share share_cpu < <(awk -v a="$(cat "$work/rate_a")" -v b="$(cat "$work/rate_b")" -v l="$one_loop" \
    -v o="$one" -v t="$two" -v oc="$one_cpu" -v tc="$two_cpu" \
    'BEGIN {g = (a + b) / l; printf "%.2f %.2f %.2f %.2f\n", g, t / o, t / o / g, 2 * tc / oc / g}')
  echo "round $round: one loop $one_loop M/s, two loops gain $loops; freshet on one core $one M/s ($one_cpu by processor time), on two $two ($two_cpu): gain $gain, share $share, by processor time $share_cpu"
  for name in loops gain share share_cpu; do echo "${!name}" >> "$work/$name"; done
done
median() { sort -n "$work/$1" | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
echo "median: two loops gain $(median loops), freshet $(median gain), share $(median share), by processor time $(median share_cpu)"
