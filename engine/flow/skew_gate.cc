#include "engine/flow/skew_gate.h"

#include <algorithm>
#include <set>

#include "engine/flow/source_cell.h"

namespace freshet {

bool SkewGate::Holds(const SourceCell& source) const {
  EventTime lowest = EventTime::Max();
  for (const SourceCell* other : sources_)
    if (!other->idle() && !other->stopped() && !other->finished()) lowest = std::min(lowest, other->watermark());
  return source.watermark() > lowest + max_skew_;
}

bool SkewGate::Covers(const SourceCell& source) const {
  return std::find(sources_.begin(), sources_.end(), &source) != sources_.end();
}

std::vector<std::unique_ptr<SkewGate>> MakeSkewGates(const GraphSpec& spec,
                                                     const std::vector<const SourceCell*>& cells) {
  std::vector<std::set<const SourceCell*>> feeding(spec.nodes.size());
  for (const SourceCell* cell : cells) feeding[static_cast<size_t>(cell->plan().nodes[0])].insert(cell);
  std::vector<std::unique_ptr<SkewGate>> gates;
  for (size_t n = 0; n < spec.nodes.size(); ++n) {
    const NodeSpec& node = spec.nodes[n];
    for (const PortRef& input : node.inputs) {
      const auto& from = feeding[static_cast<size_t>(input.node)];
      feeding[n].insert(from.begin(), from.end());
    }
    if (!node.max_skew || feeding[n].size() < 2) continue;
    gates.push_back(std::make_unique<SkewGate>(*node.max_skew,
                                               std::vector<const SourceCell*>(feeding[n].begin(), feeding[n].end())));
  }
  return gates;
}

}  // namespace freshet
