#include "engine/flow/operator_state.h"

#include <algorithm>
#include <limits>

#include "engine/base/log.h"
#include "engine/flow/planted_bugs.h"
#include "engine/state/table_numbers.h"
#include "engine/state/tiered_rows.h"

namespace freshet {
namespace {

/// Half the limit divided over the keyed nodes and their lanes: a restored table may take so much, the rest of it is
/// read when it is asked for. 0: there is no limit.
int64_t RestoreShare(const CellEnvironment& environment, const CellPlan& plan) {
  const auto keyed =
      std::count_if(environment.spec->nodes.begin(), environment.spec->nodes.end(), [](const NodeSpec& node) {
        const auto* op = std::get_if<OperatorNode>(&node.kind);
        return op != nullptr && op->bound.key.has_value();
      });
  const int64_t limit = environment.memory->limit();
  return limit == 0 ? 0 : std::max<int64_t>(limit / 2 / std::max<int64_t>(keyed, 1) / plan.lane_count, 1);
}

/// One look at the store may bring back this part of what a table may take at a restore.
constexpr int64_t kBackAtOncePart = 4;
/// Changed rows go to the spill store in pieces of this size.
constexpr int64_t kSpillPieceBytes = 1 << 20;

}  // namespace

OperatorState::OperatorState(const CellEnvironment& environment, const CellPlan& plan, std::string node_id)
    : environment_(environment),
      plan_(plan),
      node_id_(std::move(node_id)),
      restore_share_(RestoreShare(environment, plan)) {}

Status OperatorState::LoadExtra(const std::string& key) {
  if (environment_.store == nullptr || environment_.restored.number == 0) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(auto value, environment_.store->Get(kEngineTable, 0, key));
  if (value) extra_ = std::move(*value);
  return Status::Ok();
}

std::optional<std::string> OperatorState::StoredFingerprint(const std::string& table) const {
  return environment_.tables->StoredFingerprint(node_id_, table);
}

Status OperatorState::BeginDrain(Epoch epoch, EpochRows* rows) {
  ++drain_;
  if (epoch.number > 0) drains_.push_back({epoch.number, drain_});
  for (size_t i = 0; i < tables_.size(); ++i) {
    const TableId id = ids_[i];
    if (Spills(i)) {
      tables_[i]->ForgetErased();
      continue;
    }
    tables_[i]->compares_drains = g_drains_compared.load(std::memory_order_relaxed);
    tables_[i]->forgets_to_save = IsPlanted(PlantedBug::kChangeSealed);
    const int64_t count = tables_[i]->BeginDrain([this, id, rows](const StateEntry& e) {
      if (IsPlanted(PlantedBug::kLoseDirtyKey) && ++drained_ % 7 == 0) return;
      if (IsPlanted(PlantedBug::kForgetTombstone) && e.erased) return;
      if (e.erased)
        rows->Erase(id, e.key_group, e.key);
      else
        rows->Put(id, e.key_group, e.key, e.value);
    });
    rows->Reserve(static_cast<size_t>(count));
    FRESHET_RETURN_IF_ERROR(tables_[i]->drain_status());
  }
  return Status::Ok();
}

Result<bool> OperatorState::DrainSome(size_t count_max) {
  for (const auto& table : tables_) {
    if (!table->DrainSome(count_max)) return false;
    FRESHET_RETURN_IF_ERROR(table->drain_status());
  }
  return true;
}

void OperatorState::OnCommitted(uint64_t epoch) {
  uint64_t drain = 0;
  while (!drains_.empty() && drains_.front().first <= epoch) {
    drain = drains_.front().second;
    drains_.pop_front();
  }
  if (drain == 0) return;
  for (size_t i = 0; i < tables_.size(); ++i)
    if (!Spills(i)) tables_[i]->OnCommitted(drain);  // the others count their own drains
}

void OperatorState::OnEnded() {
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (Spills(i)) {
      tables_[i]->DrainDirty([](const StateEntry&) {});
      ++spills_[i];
    }
    tables_[i]->OnCommitted(Spills(i) ? spills_[i] : drain_);
  }
  spilled_ = Status::Ok();
}

int64_t OperatorState::memory_bytes() const {
  int64_t bytes = 0;
  for (const auto& t : tables_) bytes += t->memory_bytes();
  return bytes;
}

int64_t OperatorState::key_count() const {
  int64_t keys = 0;
  for (const auto& t : tables_) keys += t->size();
  return keys;
}

int64_t OperatorState::unclean_bytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < tables_.size(); ++i)
    if (!Spills(i) || !spilled_.ok()) bytes += tables_[i]->unclean_bytes();
  return bytes;
}

int64_t OperatorState::droppable_bytes() const {
  int64_t bytes = 0;
  for (size_t i = 0; i < tables_.size(); ++i)
    bytes += Spills(i) ? tables_[i]->memory_bytes() : tables_[i]->memory_bytes() - tables_[i]->unclean_bytes();
  return bytes;
}

int64_t OperatorState::aside_bytes() const {
  int64_t bytes = 0;
  for (const auto& t : tables_) bytes += t->aside_bytes();
  return bytes;
}

int32_t OperatorState::rows_at_once() const {
  int32_t rows = std::numeric_limits<int32_t>::max();
  for (const auto& t : tables_) rows = std::min(rows, t->keys_back_at_once());
  // Of a batch's rows some have a key together, and some keys are there.
  return rows > std::numeric_limits<int32_t>::max() / 2 ? rows : 2 * rows;
}

void OperatorState::PutAside() {
  for (const auto& t : tables_) {
    const int64_t bytes = environment_.memory->BytesToPutAside(t->unclean_bytes());
    if (bytes == 0) continue;
    Result<int64_t> dropped = t->PutAside(bytes);
    if (dropped.ok()) environment_.memory->AddDropped(*dropped);
    NoteSpill(std::move(dropped).status());
  }
}

void OperatorState::Evict() {
  for (size_t i = 0; i < tables_.size(); ++i) {
    StateTable& table = *tables_[i];
    const int64_t bytes = environment_.memory->BytesToDrop(table.memory_bytes());
    if (bytes == 0 || table.eviction_held()) continue;
    if (Spills(i)) Spill(i);
    environment_.memory->AddDropped(table.EvictClean(bytes));
  }
}

Status OperatorState::Adopt(std::unique_ptr<StateTable> table) {
  uint16_t codec = 0;
  const bool taken = taken_.count(table->name()) > 0;
  FRESHET_ASSIGN_OR_RETURN(const TableId id, environment_.tables->Resolve(node_id_, *table, &codec, taken));
  StateTable* raw = table.get();
  raw->set_bytes_back_at_once(restore_share_ / kBackAtOncePart);
  tables_.push_back(std::move(table));
  ids_.push_back(id);
  spills_.push_back(0);
  const uint16_t first = FirstKeyGroup(plan_.lane, plan_.lane_count);
  const auto last = static_cast<uint16_t>(FirstKeyGroup(plan_.lane + 1, plan_.lane_count) - 1);
  const bool has_store = environment_.store != nullptr || environment_.spill != nullptr;
  const bool evictable = raw->options().evictable && has_store;
  if (has_store && (evictable || dynamic_cast<KeyGroupNumbers*>(raw) != nullptr)) {
    auto rows = std::make_unique<TieredRows>(environment_.store, environment_.spill, id);
    rows->first_key_group = first;
    rows->last_key_group = last;
    rows->forgets_keys = IsPlanted(PlantedBug::kForgetAway);
    rows->forgets_aside = IsPlanted(PlantedBug::kForgetAside);
    raw->AttachCommitted(std::move(rows));
  }
  if (codec == 0 || environment_.store == nullptr || environment_.restored.number == 0) return Status::Ok();
  // Rows of another codec or layout are written anew.
  const bool may_stay = evictable && codec == raw->options().codec && !taken;
  const auto& loaded_bytes = raw->options().loaded_bytes;
  int64_t loading = 0;  // values as bytes, and what the operator is going to make of them
  const Status status =
      environment_.store->Scan(id, first, last, [&](uint16_t group, std::string_view key, std::string_view value) {
        if (may_stay && loaded_bytes && restore_share_ > 0)
          loading += static_cast<int64_t>(value.size()) + loaded_bytes(value);
        if (may_stay && restore_share_ > 0 && raw->memory_bytes() + loading > restore_share_) {
          raw->LeaveInStore((raw->memory_bytes() + loading) / (raw->size() + 1));
          return Status::Cancelled("the memory for state is full");
        }
        return raw->RestoreEntry(group, key, value, codec);
      });
  return status.code() == StatusCode::kCancelled ? Status::Ok() : status;
}

bool OperatorState::Spills(size_t i) const {
  return environment_.store == nullptr && environment_.spill != nullptr && tables_[i]->options().evictable;
}

void OperatorState::Spill(size_t i) {
  StateTable& table = *tables_[i];
  EpochRows rows;
  Status status;
  const auto write = [&](int64_t from_bytes) {
    if (status.ok() && rows.byte_size() >= from_bytes) status = environment_.spill->Write(std::move(rows));
  };
  table.DrainDirty([&](const StateEntry& e) {
    if (!status.ok()) return;
    if (e.erased)
      rows.Erase(ids_[i], e.key_group, e.key);
    else
      rows.Put(ids_[i], e.key_group, e.key, e.value);
    write(kSpillPieceBytes);
  });
  if (!rows.empty()) write(0);
  ++spills_[i];
  if (status.ok())
    table.OnCommitted(spills_[i]);
  else
    table.TakeBackDrain();
  NoteSpill(std::move(status));
}

void OperatorState::NoteSpill(Status status) {
  if (status.ok() != spilled_.ok())
    Log(status.ok() ? LogLevel::kInfo : LogLevel::kWarning,
        status.ok() ? "keys can be put aside again: the pipeline goes on"
                    : "keys that do not fit into memory cannot be put aside: the pipeline waits and tries again",
        {{"node", node_id_}, {"reason", status.ToString()}});
  spilled_ = std::move(status);
}

}  // namespace freshet
