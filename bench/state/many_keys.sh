#!/usr/bin/env bash
# Far more keys of window state than memory holds: time, peak memory, state on disk, and whether every key came out once with
# the right sums.
#   bench/state/many_keys.sh [KEYS] [MEMORY_LIMIT]        (default 50,000,000 keys under 1GiB)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
bin="${FRESHET_BIN_DIR:-$root/build/release/bin}"
keys="${1:-50000000}"
limit="${2:-1GiB}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$root/bench/state/many_keys.yaml" "$work/"
disk=0
mkfifo "$work/rows"
"$bin/many_keys_bench" "$keys" "$work/expected" > "$work/rows" &
"$bin/freshet" run "$work/many_keys.yaml" --fresh --http off --json --state "$work/state" \
  --set "settings.memory_limit=$limit" < "$work/rows" > "$work/report.json" 2> "$work/log" &
run=$!
while kill -0 "$run" 2> /dev/null; do
  now="$(du -sm "$work/state" 2> /dev/null | cut -f1 || true)"
  if [ "${now:-0}" -gt "$disk" ]; then disk="$now"; fi
  sleep 2
done
wait "$run" || { cat "$work/log"; exit 1; }
python3 - "$work" "$disk" <<'PY'
import json, sys
work = sys.argv[1]
report = json.load(open(work + "/report.json"))["pipelines"][0]
got = json.loads(open(work + "/result.ndjson").read())
expected = json.loads(open(work + "/expected").read())
wrong = {k: (v, got.get(k)) for k, v in expected.items() if got.get(k) != v}
print(f"{expected['users']:,} keys, {expected['rows']:,} rows: {report['elapsed_us'] / 1e6:.0f} s, "
      f"peak {report['peak_memory_bytes'] / 2**20:,.0f} MiB, state {int(sys.argv[2]):,} MiB on disk at most, "
      f"{report['checkpoint']['count']} checkpoints, {report['checkpoint'].get('skipped', 0)} skipped")
print("result right" if not wrong else f"RESULT WRONG (expected, got): {wrong}")
sys.exit(1 if wrong else 0)
PY
