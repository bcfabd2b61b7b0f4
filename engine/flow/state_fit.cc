#include "engine/flow/state_fit.h"

#include <algorithm>
#include <set>

#include "engine/flow/operator_cell.h"
#include "engine/flow/source_cell.h"

namespace freshet {
namespace {

/// Models and counters are the checkpoint's; tables look empty, so that nothing large is read.
class WithoutTables final : public CheckpointStore {
 public:
  WithoutTables(CheckpointStore* store, const Manifest& manifest) : store_(store), manifest_(manifest) {}
  Result<std::optional<Manifest>> Load() override { return std::optional<Manifest>(manifest_); }
  Status Commit(const Manifest&, EpochRows&&) override { return Status::Internal("a check commits nothing"); }
  Status Scan(TableId, uint16_t, uint16_t,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>&) override {
    return Status::Ok();
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) override {
    return store_->Get(table, key_group, key);
  }

 private:
  CheckpointStore* store_;
  const Manifest& manifest_;
};

/// Sorters and merges keep their tables under "sorter.ID" and "merge.ID".
std::string OwnerOf(const std::string& scope) {
  for (const char* prefix : {"sorter.", "merge."})
    if (scope.starts_with(prefix)) return scope.substr(std::string_view(prefix).size());
  return scope;
}

}  // namespace

std::vector<NodeFit> CheckStateFit(const GraphSpec& spec, const Manifest& manifest, Env* env, CheckpointStore* store) {
  const GraphPlan plan = PlanGraph(spec, 1);
  TableDirectory tables;
  tables.Load(manifest);
  WithoutTables peek(store, manifest);
  MemoryBudget memory;  // no limit
  CellEnvironment environment;
  environment.memory = &memory;
  environment.env = env;
  environment.spec = &spec;
  environment.plan = &plan;
  environment.store = &peek;
  environment.tables = &tables;
  environment.restored = manifest.epoch;
  std::vector<NodeFit> fits;
  std::set<std::string> refused;
  for (const CellPlan& cell_plan : plan.cells) {
    if (cell_plan.kind == CellKind::kSink || cell_plan.kind == CellKind::kGather) continue;
    std::unique_ptr<OperatorCell> cell = cell_plan.kind == CellKind::kSource
                                             ? std::make_unique<SourceCell>(environment, cell_plan)
                                             : std::make_unique<OperatorCell>(environment, cell_plan);
    const std::string& id = spec.nodes[static_cast<size_t>(cell_plan.nodes[0])].id;
    const Status status = std::move(cell->Open()).WithNode(id);
    cell->Close();
    if (status.ok() || !refused.insert(status.node_id()).second) continue;
    fits.push_back({status.node_id(), NodeFit::Kind::kRefused, status.message()});
  }
  std::set<std::string> known;
  for (const Manifest::Table& table : manifest.tables) known.insert(OwnerOf(table.node_id));
  std::set<std::string> stateful;
  for (const Manifest::Table& table : tables.tables()) stateful.insert(OwnerOf(table.node_id));
  for (const NodeSpec& node : spec.nodes) {
    if (stateful.erase(node.id) == 0 || refused.count(node.id) > 0) continue;
    fits.push_back({node.id, known.count(node.id) > 0 ? NodeFit::Kind::kKept : NodeFit::Kind::kNew, {}});
  }
  for (const std::string& id : stateful)
    if (known.count(id) > 0 && refused.count(id) == 0) fits.push_back({id, NodeFit::Kind::kRemoved, {}});
  return fits;
}

}  // namespace freshet
