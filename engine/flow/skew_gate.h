#pragma once

#include <memory>
#include <vector>

#include "engine/base/time.h"
#include "engine/flow/graph_spec.h"

namespace freshet {

class SourceCell;

/// `max_skew` of one node: keeps the sources that feed its inputs together in event time, so that what waits for the
/// slowest stays small. A source whose watermark is further than `max_skew` ahead of the lowest one is not polled; it
/// has taken no credit then, and barriers pass its cell as ever (SEMANTICS.md §2.4). Sources that are idle, stopped or
/// ended are ignored. The slowest is never held, in no gate, so of all sources at least one can always go on.
/// Thread-safe.
class SkewGate {
 public:
  SkewGate(Duration max_skew, std::vector<const SourceCell*> sources)
      : max_skew_(max_skew), sources_(std::move(sources)) {}
  bool Holds(const SourceCell& source) const;
  bool Covers(const SourceCell& source) const;

 private:
  const Duration max_skew_;
  const std::vector<const SourceCell*> sources_;
};

/// One gate for each node with `max_skew` that more than one source feeds; `cells` are all of the spec's source cells.
std::vector<std::unique_ptr<SkewGate>> MakeSkewGates(const GraphSpec& spec,
                                                     const std::vector<const SourceCell*>& cells);

}  // namespace freshet
