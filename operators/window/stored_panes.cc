// The part of WindowOperator that deals with keys that are not in memory: their rows stand in the store as they were
// when they left, and what has happened to them since follows from how far windows have closed.
#include <algorithm>
#include <utility>

#include "engine/state/table_numbers.h"
#include "operators/window/window_operator.h"

namespace freshet {
Status WindowOperator::OpenStored(StateContext& state) {
  FRESHET_ASSIGN_OR_RETURN(closed_through_, state.OpenNumbers("closed"));
  FRESHET_ASSIGN_OR_RETURN(ends_, state.OpenNumbers("ends"));
  FRESHET_ASSIGN_OR_RETURN(ended_at_, state.OpenNumbers("ended_at"));
  FRESHET_ASSIGN_OR_RETURN(ended_before_, state.OpenNumbers("ended_before"));
  pool_.CountEnds(ends_);
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
  hooks.on_evict = [this](uint32_t, const std::string&, KeyPanes& panes) {
    const int64_t moment = panes.NextMoment(true);
    if (moment == KeyPanes::kNone) return false;
    NoteDue(panes, moment);
    panes.Free();
    return true;
  };
  hooks.after_pass = [this] {
    closed_through_->Raise(closed_.us);
    ForgetDueKeys(&due_, [](int64_t moment, const KeyPanes& panes) { return panes.next_due != moment; });
    AccountMemory();
  };
  table_->SetEvictionHooks(std::move(hooks));
}

Result<bool> WindowOperator::Wake(uint32_t hash, int64_t through, KeyPanes* panes) {
  panes->pool = &pool_;
  panes->hash = hash;
  if (!panes->Load()) return Status::DataLoss("open windows in the checkpoint cannot be read");
  const uint16_t group = KeyGroupOf(hash);
  if (const int64_t ends = pool_.EndsSeen(hash); panes->ends_seen < ends) {
    // Of several ends the first that it has not seen closed all windows; what passed until the last is forgotten.
    int64_t at = ended_at_->at(group);
    if (panes->ends_seen + 1 < ends) at = std::max(at, ended_before_->at(group));
    Replay(at, false, panes);
    Replay(KeyPanes::kNone, true, panes);
    panes->GuardLeft();
  }
  // What left while the key was away has left from it too; with other lanes before, some groups may be further than
  // ours.
  const int64_t closed = closed_through_->at(group);
  if (ending_) Replay(std::max(closed_.us, closed), false, panes);
  Replay(std::max(through, closed), ending_, panes);
  return !panes->empty();
}

void WindowOperator::Replay(int64_t through, bool end, KeyPanes* panes) {
  for (int64_t moment = panes->NextMoment(!end); moment < through; moment = panes->NextMoment(!end)) {
    panes->WindowsAt(moment, &ends_at_);
    for (const int64_t window : ends_at_) (void)panes->Leave(window, moment, end || plan_->revises());
    panes->Settle(moment, !end);
  }
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

void WindowOperator::NoteDue(const KeyPanes& panes, int64_t moment) {
  StoredDue& due = stored_due_[moment];
  due.groups.set(KeyGroupOf(panes.hash));
  if (!plan_->revises()) return;
  panes.WindowsAt(moment, &ends_at_);
  for (const int64_t end : ends_at_) due.times.insert(std::min(end - 1, moment));
}

void WindowOperator::NoteStored(const KeyPanes& panes, std::string_view key) {
  if (panes.empty())
    NoteShell(panes.hash, key);
  else if (const int64_t moment = panes.NextMoment(!ending_); moment != KeyPanes::kNone)
    NoteDue(panes, moment);
}

Result<bool> WindowOperator::WakeStored(const StoredScan& scan, int64_t through, KeyPanes* panes) {
  const uint32_t hash = HashKey(scan.key());
  if (table_->Resident(hash, scan.key())) return false;
  FRESHET_RETURN_IF_ERROR(table_->DecodeValue(scan.value(), table_->options().codec, panes));
  FRESHET_ASSIGN_OR_RETURN(const bool live, Wake(hash, through, panes));
  if (!live && walk_.times.size() < 2) NoteShell(hash, scan.key());
  return live;
}

/// A row with nothing left in it. If there is no room to remember it, another walk comes by.
void WindowOperator::NoteShell(uint32_t hash, std::string_view key) {
  if (!table_->NoteShell(key)) shells_left_.set(KeyGroupOf(hash));
}

Status WindowOperator::StartStored() {
  const auto due = stored_due_.find(moment_);
  if (due == stored_due_.end()) return Status::Ok();
  walk_ = std::move(due->second);
  stored_due_.erase(due);
  table_->HoldEviction(true);
  return BeginWalk();
}

Status WindowOperator::BeginWalk() {
  scan_ = std::make_unique<StoredScan>(table_->committed_rows(), walk_.groups);
  return NextStored();
}

Status WindowOperator::NextStored() {
  bool found = false;
  FRESHET_RETURN_IF_ERROR(scan_->Next(&found));
  if (found) return Status::Ok();
  scan_.reset();
  if (walk_.times.size() < 2) return Status::Ok();
  walk_.times.erase(walk_.times.begin());
  return BeginWalk();
}

bool WindowOperator::StoredIsNext() const {
  if (firing_at_ == firing_.size()) return true;
  const Firing& firing = firing_[firing_at_];
  if (firing.end == KeyPanes::kNone) return false;  // emits nothing, and what comes after it may be next
  if (!walk_.times.empty() && *walk_.times.begin() != TimeOf(firing.end))
    return *walk_.times.begin() < TimeOf(firing.end);
  return scan_->key() < *firing.due.key;
}

Status WindowOperator::TakeStored(std::unique_ptr<Rows>* rows, int32_t* count) {
  KeyPanes panes;
  const bool last = walk_.times.size() < 2;  // of the walks: only this one changes what is known about the row
  FRESHET_ASSIGN_OR_RETURN(const bool live, WakeStored(*scan_, moment_, &panes));
  if (live && panes.NextMoment(!ending_) == moment_) {
    panes.WindowsAt(moment_, &ends_at_);
    const std::string key(scan_->key());
    for (const int64_t end : ends_at_) {
      const bool now = !plan_->revises() || TimeOf(end) == *walk_.times.begin();
      if (!now || end <= taken_end_) {
        (void)panes.Leave(end, moment_, plan_->revises() || ending_);
        continue;
      }
      if (*count == row_count_max_) {  // the row is looked at again
        panes.Free();
        return Status::Ok();
      }
      AppendResult({end, {&panes, &key}, false, false}, rows, count);
      taken_end_ = end;
    }
    panes.Settle(moment_, !ending_);
  }
  if (live && last) NoteStored(panes, scan_->key());
  panes.Free();
  taken_end_ = -KeyPanes::kNone;
  return NextStored();
}

void WindowOperator::FinishStored(EventTime now) {
  table_->HoldEviction(false);
  if (now != EventTime::Max()) {
    if (table_->has_evicted()) closed_through_->Raise(now.us);
    if (shells_left_.any()) stored_due_[now.us + plan_->assigner.slide()].groups |= std::exchange(shells_left_, {});
    return;
  }
  // The end of the input has closed all windows. Keys in memory are written again, the others learn it when read.
  if (table_->has_evicted()) {
    int64_t ends = 0;
    for (uint16_t g = ends_->first_key_group(); g <= ends_->last_key_group(); ++g) {
      ended_before_->Set(g, std::max(ended_before_->at(g), ended_at_->at(g)));
      ended_at_->Set(g, std::max(closed_.us, closed_through_->at(g)));
      ends = std::max(ends, ends_->at(g));
    }
    table_->FinishDrain();  // what is sealed is written as it was before this end
    ends_->Raise(ends + 1);
  }
  closed_through_->Reset();
}

void WindowOperator::AccountMemory() {
  int64_t due = 0;
  for (const auto& [moment, keys] : due_) due += static_cast<int64_t>(keys.capacity() * sizeof(DueKey));
  table_->set_value_bytes(pool_.live_bytes() + due);
}

}  // namespace freshet
