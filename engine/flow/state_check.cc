#include "engine/flow/state_check.h"

#include <algorithm>
#include <set>

#include "engine/flow/operator_cell.h"
#include "engine/flow/outbox.h"
#include "engine/flow/source_cell.h"

namespace freshet {
namespace {

/// Of the engine's own rows, those that belong to a node; some carry more behind a slash.
constexpr const char* kNodeRows[] = {"counters/", "type/", "extra/", "source/", "sink/", "ordinal/"};
constexpr const char* kScopes[] = {"", "sorter.", "merge."};

/// A store without the rows of tables: operators open at once, however much there is.
class DeclaredOnly final : public CheckpointStore {
 public:
  explicit DeclaredOnly(CheckpointStore& store) : store_(store) {}
  Result<std::optional<Manifest>> Load() override { return store_.Load(); }
  Status Commit(const Manifest&, EpochRows&&) override { return Status::Internal("this store is for looking only"); }
  Status Scan(TableId, uint16_t, uint16_t,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>&) override {
    return Status::Ok();
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t group, std::string_view key) override {
    return store_.Get(table, group, key);
  }

 private:
  CheckpointStore& store_;
};

/// The node that an engine row belongs to; empty if it belongs to none.
std::string NodeOfRow(std::string_view key) {
  for (const std::string_view what : kNodeRows) {
    if (!key.starts_with(what)) continue;
    std::string_view node = key.substr(what.size());
    for (const std::string_view scope : kScopes)
      if (what == "extra/" && !scope.empty() && node.starts_with(scope)) node.remove_prefix(scope.size());
    if (what == "ordinal/") node = node.substr(0, node.rfind('/'));
    return std::string(node);
  }
  return {};
}

Result<std::set<std::string>> KnownNodes(CheckpointStore& store, const Manifest& manifest) {
  std::set<std::string> known;
  FRESHET_RETURN_IF_ERROR(store.Scan(kEngineTable, 0, 0, [&](uint16_t, std::string_view key, std::string_view) {
    if (std::string node = NodeOfRow(key); !node.empty()) known.insert(std::move(node));
    return Status::Ok();
  }));
  for (const Manifest::Table& table : manifest.tables) {
    std::string_view node = table.node_id;
    for (const std::string_view scope : kScopes)
      if (!scope.empty() && node.starts_with(scope)) node.remove_prefix(scope.size());
    if (!node.empty()) known.insert(std::string(node));
  }
  return known;
}

Status CheckNodeType(const NodeSpec& node, CheckpointStore& store) {
  FRESHET_ASSIGN_OR_RETURN(const auto type, store.Get(kEngineTable, 0, EngineKey("type", node.id)));
  if (!type || *type == node.type) return Status::Ok();
  return Status::InvalidArgument("it is a `" + node.type + "` now, but its state was kept for a `" + *type +
                                 "`; undo the change, give it another id to start it empty, remove its state with "
                                 "`freshet state drop`, or start over with --fresh")
      .WithNode(node.id);
}

}  // namespace

const char* StateVerdictName(StateVerdict::Kind kind) {
  switch (kind) {
    case StateVerdict::Kind::kKept:
      return "kept";
    case StateVerdict::Kind::kMigrated:
      return "migrated";
    case StateVerdict::Kind::kNew:
      return "new";
    case StateVerdict::Kind::kRefused:
      return "refused";
    case StateVerdict::Kind::kUnused:
      return "unused";
  }
  return "";
}

Status CheckNodeTypes(const GraphSpec& spec, CheckpointStore& store) {
  for (const NodeSpec& node : spec.nodes) FRESHET_RETURN_IF_ERROR(CheckNodeType(node, store));
  return Status::Ok();
}

Result<std::vector<StateVerdict>> CheckState(const GraphSpec& spec, CheckpointStore& store, Env* env) {
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("the state is empty: every node starts there");
  FRESHET_ASSIGN_OR_RETURN(std::set<std::string> known, KnownNodes(store, *manifest));
  DeclaredOnly declared(store);
  const GraphPlan plan = PlanGraph(spec, 1);
  TableDirectory tables;
  tables.Load(*manifest);
  MemoryBudget memory;  // no limit
  CellEnvironment environment;
  environment.memory = &memory;
  environment.env = env;
  environment.spec = &spec;
  environment.plan = &plan;
  environment.store = &declared;
  environment.tables = &tables;
  environment.restored = manifest->epoch;
  std::vector<Status> problems(spec.nodes.size());
  for (const CellPlan& cell : plan.cells) {
    const auto n = static_cast<size_t>(cell.nodes[0]);
    if (cell.kind == CellKind::kSink || cell.kind == CellKind::kGather || !problems[n].ok()) continue;
    std::unique_ptr<Cell> made;
    if (cell.kind == CellKind::kSource)
      made = std::make_unique<SourceCell>(environment, cell);
    else
      made = std::make_unique<OperatorCell>(environment, cell);
    problems[n] = made->Open();
    made->Close();
  }
  const std::vector<Manifest::Table> now = tables.tables();
  std::vector<StateVerdict> verdicts;
  for (size_t n = 0; n < spec.nodes.size(); ++n) {
    const std::string& id = spec.nodes[n].id;
    StateVerdict verdict;
    verdict.node_id = id;
    if (Status type = CheckNodeType(spec.nodes[n], store); !type.ok()) problems[n] = std::move(type);
    if (!problems[n].ok()) {
      verdict.kind = StateVerdict::Kind::kRefused;
      verdict.reason = problems[n].message();
    } else if (known.count(id) == 0) {
      verdict.kind = StateVerdict::Kind::kNew;
    } else {
      for (const Manifest::Table& before : TablesOfNode(*manifest, id))
        for (const Manifest::Table& table : now)
          if (table.id == before.id && (table.codec != before.codec || table.fingerprint != before.fingerprint))
            verdict.kind = StateVerdict::Kind::kMigrated;
    }
    known.erase(id);
    verdicts.push_back(std::move(verdict));
  }
  for (const std::string& id : known)
    if (!id.ends_with(".dead_letter")) verdicts.push_back({StateVerdict::Kind::kUnused, id, {}});
  return verdicts;
}

std::vector<Manifest::Table> TablesOfNode(const Manifest& manifest, const std::string& node_id) {
  std::vector<Manifest::Table> tables;
  for (const Manifest::Table& table : manifest.tables)
    for (const char* scope : kScopes)
      if (table.node_id == scope + node_id) tables.push_back(table);
  return tables;
}

namespace {

/// An eager row may come again still: no run has committed an epoch since it was found that none claims it.
bool MayComeAgain(const Outbox::Known& row, Epoch newest) {
  return row.epoch != Outbox::kUnclaimed || row.unclaimed_at >= newest.number;
}

/// `body(outbox, id, known)` for each eager row that no checkpoint knows: of a later epoch, or of none since a crash.
template <class Body>
Status ForEachRowAhead(CheckpointStore& store, const Manifest& manifest, Body&& body) {
  if (store.outbox() == nullptr) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(const std::set<std::string> nodes, KnownNodes(store, manifest));
  constexpr size_t kCount = 1000;
  for (const std::string& node : nodes) {
    Outbox outbox(store.outbox(), node);
    std::string after;
    for (bool more = true; more;) {
      FRESHET_ASSIGN_OR_RETURN(const auto known, outbox.ScanKnown(after, kCount));
      for (const auto& [id, row] : known) {
        after = id;
        if (row.epoch > manifest.epoch.number) body(outbox, id, row);
      }
      more = known.size() == kCount;
    }
  }
  return Status::Ok();
}

/// Sinks take eager rows of an epoch that was never committed for claimed once a later epoch is: unclaims them, as a
/// sink does that opens.
Status UnclaimEagerRows(CheckpointStore& store, const Manifest& manifest, int64_t now_wall_us) {
  Outbox::Changes changes;
  // The epoch that is committed now is that of no run.
  const uint64_t next = manifest.epoch.number + 1;
  FRESHET_RETURN_IF_ERROR(
      ForEachRowAhead(store, manifest, [&](const Outbox& outbox, const std::string& id, const Outbox::Known& row) {
        if (!MayComeAgain(row, manifest.epoch)) return;
        const int64_t since_us = row.epoch != Outbox::kUnclaimed ? now_wall_us : row.written_wall_us;
        outbox.PutKnown(id, {Outbox::kUnclaimed, row.fate, since_us, next}, &changes);
      }));
  return changes.empty() ? Status::Ok() : store.outbox()->Write(changes, true);
}

}  // namespace

Result<bool> RowsLeftAfter(CheckpointStore& store, const Manifest& manifest) {
  bool any = false;
  FRESHET_RETURN_IF_ERROR(
      ForEachRowAhead(store, manifest, [&](const Outbox&, const std::string&, const Outbox::Known& row) {
        any = any || MayComeAgain(row, manifest.epoch);
      }));
  return any;
}

Status CommitBetweenRuns(CheckpointStore& store, Manifest manifest, EpochRows&& rows, int64_t now_wall_us) {
  FRESHET_RETURN_IF_ERROR(UnclaimEagerRows(store, manifest, now_wall_us));
  manifest.epoch = {manifest.epoch.number + 1};
  return store.Commit(manifest, std::move(rows));
}

Result<int64_t> DropNode(CheckpointStore& store, const std::string& node_id, int64_t now_wall_us) {
  FRESHET_ASSIGN_OR_RETURN(std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("the state is empty");
  FRESHET_ASSIGN_OR_RETURN(const std::set<std::string> known, KnownNodes(store, *manifest));
  if (known.count(node_id) == 0) {
    std::string names;
    for (const std::string& id : known) names += (names.empty() ? "" : ", ") + id;
    return Status::NotFound("the state knows no node `" + node_id + "`; it has " + names);
  }
  int64_t dropped = 0;
  EpochRows rows;
  FRESHET_RETURN_IF_ERROR(store.Scan(kEngineTable, 0, 0, [&](uint16_t, std::string_view key, std::string_view) {
    if (NodeOfRow(key) == node_id) {
      rows.Erase(kEngineTable, 0, key);
      ++dropped;
    }
    return Status::Ok();
  }));
  std::vector<TableId> ids;
  for (const Manifest::Table& table : TablesOfNode(*manifest, node_id)) {
    ids.push_back(table.id);
    FRESHET_RETURN_IF_ERROR(
        store.Scan(table.id, 0, kKeyGroupCount - 1, [&](uint16_t, std::string_view, std::string_view) {
          ++dropped;
          return Status::Ok();
        }));
  }
  // The numbers of what is gone are not given again: the manifest keeps the highest one, without a node.
  for (Manifest::Table& table : manifest->tables)
    if (std::find(ids.begin(), ids.end(), table.id) != ids.end()) table = {"", "dropped", table.id, 0, ""};
  FRESHET_RETURN_IF_ERROR(UnclaimEagerRows(store, *manifest, now_wall_us));
  manifest->epoch = {manifest->epoch.number + 1};
  manifest->committed_wall_us = now_wall_us;
  FRESHET_RETURN_IF_ERROR(store.DropTables(*manifest, ids, std::move(rows)));
  return dropped;
}

}  // namespace freshet
