// The part of WindowOperator that deals with keys that are not in memory: their rows stand in the store as they were
// when they left, and what has happened to them since follows from how far windows have closed.
#include <algorithm>
#include <utility>

#include "engine/state/table_numbers.h"
#include "operators/window/window_operator.h"

namespace freshet {
Status WindowOperator::OpenStored(StateContext& state) {
  FRESHET_ASSIGN_OR_RETURN(closed_through_, state.OpenNumbers("closed"));
  closed_ = EventTime{closed_through_->lowest()};  // kNone is EventTime::Min()
  fired_through_ = closed_.us;
  return Status::Ok();
}

void WindowOperator::SetEvictionHooks() {
  EvictionHooks<KeyPanes> hooks;
  hooks.on_load = [this](uint32_t hash, const std::string& key, KeyPanes& panes) -> Result<bool> {
    FRESHET_ASSIGN_OR_RETURN(const bool live, Wake(hash, fired_through_, &panes));
    if (live) Schedule(panes, &key, panes.NextMoment(true));
    return live;
  };
  hooks.on_evict = [this](uint32_t hash, const std::string&, KeyPanes& panes) {
    const int64_t moment = panes.NextMoment(true);
    if (moment == KeyPanes::kNone) return false;
    stored_due_[moment].set(KeyGroupOf(hash));
    panes.Free();
    return true;
  };
  hooks.after_pass = [this] {
    closed_through_->Raise(closed_.us);
    for (auto it = due_.begin(); it != due_.end();) {
      std::erase_if(it->second, [&](const DueKey& due) { return due.panes->next_due != it->first; });
      it->second.shrink_to_fit();
      it = it->second.empty() ? due_.erase(it) : std::next(it);
    }
    AccountMemory();
  };
  table_->SetEvictionHooks(std::move(hooks));
}

Result<bool> WindowOperator::Wake(uint32_t hash, int64_t through, KeyPanes* panes) {
  panes->pool = &pool_;
  panes->hash = hash;
  if (!panes->Load()) return Status::DataLoss("open windows in the checkpoint cannot be read");
  // What left while the key was away has left from it too; with other lanes before, some groups may be further than
  // ours.
  through = std::max(through, closed_through_->at(KeyGroupOf(hash)));
  for (int64_t moment = panes->NextMoment(true); moment < through; moment = panes->NextMoment(true)) {
    panes->WindowsAt(moment, &ends_);
    for (const int64_t end : ends_) (void)panes->Leave(end, moment, plan_->revises());
    panes->Settle(moment, true);
  }
  return !panes->empty();
}

Status WindowOperator::ReadStored() {
  std::vector<std::string> shells;
  Status status;
  table_->ForEach([&](std::string_view key, KeyPanes& panes) {
    if (!status.ok()) return;
    const Result<bool> live = Wake(HashKey(key), closed_.us, &panes);
    if (!live.ok()) {
      status = live.status();
    } else if (!*live) {
      shells.emplace_back(key);
    } else {
      counters_->panes_open += panes.CountOpen();
      Schedule(panes, table_->StoredKey(panes.hash, key), panes.NextMoment(true));
    }
  });
  FRESHET_RETURN_IF_ERROR(std::move(status));
  for (const std::string& key : shells) table_->Erase(HashKey(key), key);
  AccountMemory();
  if (!table_->has_evicted()) return Status::Ok();
  std::bitset<kKeyGroupCount> lane;
  for (uint16_t g = table_->committed_rows()->first_key_group; g <= table_->committed_rows()->last_key_group; ++g)
    lane.set(g);
  StoredScan scan(table_->committed_rows(), lane);
  for (bool found = true;;) {
    FRESHET_RETURN_IF_ERROR(scan.Next(&found));
    if (!found) return Status::Ok();
    KeyPanes panes;
    FRESHET_ASSIGN_OR_RETURN(const bool live, WakeStored(scan, closed_.us, &panes));
    if (!live) continue;
    counters_->panes_open += panes.CountOpen();
    NoteStored(panes, scan.key());
    panes.Free();
  }
}

void WindowOperator::NoteStored(const KeyPanes& panes, std::string_view key) {
  if (panes.empty())
    NoteShell(panes.hash, key);
  else if (const int64_t moment = panes.NextMoment(!ending_); moment != KeyPanes::kNone)
    stored_due_[moment].set(KeyGroupOf(panes.hash));
}

Result<bool> WindowOperator::WakeStored(const StoredScan& scan, int64_t through, KeyPanes* panes) {
  const uint32_t hash = HashKey(scan.key());
  if (table_->Resident(hash, scan.key())) return false;
  FRESHET_RETURN_IF_ERROR(table_->DecodeValue(scan.value(), table_->options().codec, panes));
  FRESHET_ASSIGN_OR_RETURN(const bool live, Wake(hash, through, panes));
  if (!live) NoteShell(hash, scan.key());
  return live;
}

/// A row with nothing left in it. If there is no room to remember it, another walk comes by.
void WindowOperator::NoteShell(uint32_t hash, std::string_view key) {
  if (!table_->NoteShell(key)) shells_left_.set(KeyGroupOf(hash));
}

Status WindowOperator::StartStored() {
  const auto due = stored_due_.find(moment_);
  if (due == stored_due_.end()) return Status::Ok();
  const std::bitset<kKeyGroupCount> groups = due->second;
  stored_due_.erase(due);
  table_->HoldEviction(true);
  scan_ = std::make_unique<StoredScan>(table_->committed_rows(), groups);
  return NextStored();
}

Status WindowOperator::NextStored() {
  bool found = false;
  FRESHET_RETURN_IF_ERROR(scan_->Next(&found));
  if (!found) scan_.reset();
  return Status::Ok();
}

Status WindowOperator::BringBackStored() {
  // Revised results of one moment go by window end before key: the keys that have some are few enough, or must be.
  std::vector<std::string> keys;
  for (; scan_ != nullptr;) {
    KeyPanes panes;
    FRESHET_ASSIGN_OR_RETURN(const bool live, WakeStored(*scan_, moment_, &panes));
    if (live && panes.NextMoment(true) == moment_)
      keys.emplace_back(scan_->key());
    else if (live)
      NoteStored(panes, scan_->key());
    panes.Free();
    FRESHET_RETURN_IF_ERROR(NextStored());
  }
  for (const std::string& key : keys) FRESHET_RETURN_IF_ERROR(table_->LoadMissing(HashKey(key), key));
  return Status::Ok();
}

Status WindowOperator::TakeStored(std::unique_ptr<Rows>* rows, int32_t* count) {
  KeyPanes panes;
  FRESHET_ASSIGN_OR_RETURN(const bool live, WakeStored(*scan_, moment_, &panes));
  if (live && panes.NextMoment(true) == moment_) {
    panes.WindowsAt(moment_, &ends_);
    const std::string key(scan_->key());
    for (const int64_t end : ends_) AppendResult({end, {&panes, &key}, true, false}, rows, count);
    panes.Settle(moment_, !ending_);
  }
  if (live) NoteStored(panes, scan_->key());
  panes.Free();
  return NextStored();
}

void WindowOperator::FinishStored(EventTime now) {
  table_->HoldEviction(false);
  if (now != EventTime::Max()) {
    if (table_->has_evicted()) closed_through_->Raise(now.us);
    if (shells_left_.any()) stored_due_[now.us + plan_->assigner.slide()] |= std::exchange(shells_left_, {});
    return;
  }
  closed_through_->Reset();
  // Where results are revised all keys with open windows are in memory by now, and what has left of them is kept.
  if (!table_->has_evicted() || plan_->revises()) return;
  // The end of the input: nothing is open any more. That windows of keys which are not in memory have left is
  // forgotten; to remember it, all of them would have to be written again.
  table_->FinishDrain();
  table_->ForEach([](std::string_view, KeyPanes& panes) { panes.Free(); });
  table_->EraseAll();
  due_.clear();
  stored_due_.clear();
  shells_left_.reset();
  firing_.clear();
  firing_at_ = 0;
}

void WindowOperator::AccountMemory() {
  int64_t due = 0;
  for (const auto& [moment, keys] : due_) due += static_cast<int64_t>(keys.capacity() * sizeof(DueKey));
  table_->set_value_bytes(pool_.live_bytes() + due);
}

}  // namespace freshet
