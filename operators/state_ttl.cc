#include "operators/state_ttl.h"

namespace freshet {

OptionSpec StateTtlOption() {
  OptionSpec spec;
  spec.name = "state_ttl";
  spec.kind = OptionKind::kDuration;
  spec.min = 1;
  spec.doc =
      "With `key`: a key without rows for that long, in event time, is forgotten, and its next row is its first; by "
      "default keys are kept for ever. Rows are then taken by event time.";
  return spec;
}

std::optional<int64_t> ReadStateTtl(const OptionsNode& options, const BindContext& bind, bool keyed) {
  if (!options.Has("state_ttl")) return 0;
  if (keyed) return options.GetDuration("state_ttl").us;
  bind.diagnostics->Error("FR3206", options.span("state_ttl"), "`state_ttl` forgets keys, and there is no `key`",
                          "add `key`, or remove `state_ttl`");
  return std::nullopt;
}

}  // namespace freshet
