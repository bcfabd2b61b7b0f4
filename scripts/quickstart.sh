#!/bin/bash
# From nothing to a first result: installs what is missing, builds a release and runs pipelines/quickstart.yaml.
# Further arguments go to `freshet run`, e.g. `scripts/quickstart.sh --set sources.events.seed=7`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
echo "quickstart: building the release (build/release)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset release && cmake --build --preset release --target freshet; } </dev/null >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "quickstart: the build failed; its last lines are above" >&2
  exit 1
fi

freshet=build/release/bin/freshet
pipeline=pipelines/quickstart.yaml
echo "quickstart: $freshet run $pipeline $*"
if "$freshet" run "$pipeline" --fresh "$@" </dev/null; then
  status=0
else
  status=$?
  echo "quickstart: the pipeline ended with exit code $status; the message above says what to do" >&2
  exit "$status"
fi

cat <<TEXT

What ran: $pipeline, one file to read and to change. What to do next:
  $freshet plan $pipeline                        how the engine runs it
  $freshet test $pipeline                        its tests, kept in the same file
  $freshet run pipelines/system_performance.yaml watch this machine, live (Ctrl-C ends it)
  $freshet help                                  the node types and their options
  scripts/test.sh                                                  build and run all tests
TEXT
