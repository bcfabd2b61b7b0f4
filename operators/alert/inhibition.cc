#include "operators/alert/inhibition.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

namespace freshet {

int64_t Inhibition::NextTime() const {
  int64_t next = INT64_MAX;
  for (const Event& e : waiting_) next = std::min(next, e.time_us);
  return next;
}

void Inhibition::Advance(int64_t now_us, std::vector<Leaving>* leaving) {
  const auto place = [](const Event& e) { return std::tuple(e.time_us, e.input == 0, e.input != 0 && !e.firing); };
  std::stable_sort(waiting_.begin(), waiting_.end(),
                   [&](const Event& a, const Event& b) { return place(a) < place(b); });
  size_t done = 0;
  for (; done < waiting_.size() && waiting_[done].time_us < now_us; ++done) {
    Event& e = waiting_[done];
    if (e.input != 0) {
      if (e.firing) {
        inhibitors_.insert({e.input, e.id});
        continue;
      }
      inhibitors_.erase({e.input, e.id});
      if (!inhibitors_.empty()) continue;
      for (Event& held : held_) leaving->push_back({e.time_us, std::move(held.row_bytes)});
      held_.clear();
      continue;
    }
    const auto held = std::find_if(held_.begin(), held_.end(), [&](const Event& h) { return h.id == e.id; });
    if (e.firing && !inhibitors_.empty())
      held_.push_back(std::move(e));
    else if (!e.firing && held != held_.end())
      held_.erase(held);
    else
      leaving->push_back({e.time_us, std::move(e.row_bytes)});
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
}

namespace {

void EncodeEvents(const std::vector<Inhibition::Event>& events, ByteSink& sink) {
  sink.PutVarint(events.size());
  for (const Inhibition::Event& e : events) {
    sink.PutI64(e.time_us);
    sink.PutU32(e.input);
    sink.PutBool(e.firing);
    sink.PutString(e.id);
    sink.PutString(e.row_bytes);
  }
}

bool DecodeEvents(ByteSource& source, std::vector<Inhibition::Event>* events) {
  const uint64_t count = source.GetVarint();
  if (!source.ok() || count > source.remaining()) return false;
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    Inhibition::Event& e = events->emplace_back();
    e.time_us = source.GetI64();
    e.input = source.GetU32();
    e.firing = source.GetBool();
    e.id = source.GetString();
    e.row_bytes = source.GetString();
  }
  return source.ok();
}

}  // namespace

bool Inhibition::ChangeRows(const std::function<bool(std::string*)>& change) {
  bool good = true;
  for (auto* events : {&waiting_, &held_})
    for (Event& e : *events) good = (e.row_bytes.empty() || change(&e.row_bytes)) && good;
  return good;
}

int64_t Inhibition::memory_bytes() const {
  size_t bytes = (waiting_.capacity() + held_.capacity()) * sizeof(Event);
  for (const auto* events : {&waiting_, &held_})
    for (const Event& e : *events) bytes += e.id.capacity() + e.row_bytes.capacity();
  for (const auto& [input, id] : inhibitors_) bytes += sizeof(std::pair<uint32_t, std::string>) + id.capacity() + 32;
  return static_cast<int64_t>(bytes);
}

void Inhibition::Encode(ByteSink& sink) const {
  EncodeEvents(waiting_, sink);
  EncodeEvents(held_, sink);
  sink.PutVarint(inhibitors_.size());
  for (const auto& [input, id] : inhibitors_) {
    sink.PutU32(input);
    sink.PutString(id);
  }
}

bool Inhibition::Decode(ByteSource& source) {
  if (!DecodeEvents(source, &waiting_) || !DecodeEvents(source, &held_)) return false;
  const uint64_t count = source.GetVarint();
  if (!source.ok() || count > source.remaining()) return false;
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    const uint32_t input = source.GetU32();
    inhibitors_.emplace(input, source.GetString());
  }
  return source.ok();
}

}  // namespace freshet
