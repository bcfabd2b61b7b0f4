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
status=0
"$freshet" run "$pipeline" --fresh "$@" </dev/null || status=$?
if ((status != 0)); then
  echo "quickstart: the pipeline ended with exit code $status; the message above says what to do" >&2
  exit "$status"
fi

cat <<TEXT

That was $pipeline: one file to read and to change. What to do next:
  $freshet plan $pipeline
      shows how the engine runs it; \`test\` in place of \`plan\` runs the tests kept in the same file
  $freshet run pipelines/system_performance.yaml
      watches this machine, live; Ctrl-C ends it
  $freshet help
      lists the node types, \`help TYPE\` the options of one
  scripts/test.sh
      builds with sanitizers and runs the everyday tests
TEXT
