#include "operators/join/join_rows.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/base/units.h"

namespace freshet {

int64_t JoinReach::Saturated(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max() - 1 : std::numeric_limits<int64_t>::min();
}

int64_t JoinReach::Floor(int64_t time_us) const {
  int64_t rest = time_us % size_;
  if (rest < 0) rest += size_;
  return Saturated(time_us, -rest);
}

std::string JoinReach::ToString() const {
  return size_ > 0 ? "in the same window of " + FormatDuration(Duration{size_})
                   : "within " + FormatDuration(Duration{distance_});
}

void JoinSide::Insert(JoinRow row) {
  const auto before = [](const JoinRow& a, const JoinRow& b) {
    return std::tie(a.time_us, a.ordinal) < std::tie(b.time_us, b.ordinal);
  };
  const auto begin = rows_.begin() + static_cast<std::ptrdiff_t>(head_);
  rows_.insert(std::upper_bound(begin, rows_.end(), row, before), std::move(row));
}

size_t JoinSide::FirstFrom(int64_t time_us) const {
  const auto begin = rows_.begin() + static_cast<std::ptrdiff_t>(head_);
  return static_cast<size_t>(
      std::lower_bound(begin, rows_.end(), time_us, [](const JoinRow& r, int64_t t) { return r.time_us < t; }) - begin);
}

void JoinSide::PopFront() {
  rows_[head_++].values = std::string();
  if (head_ * 2 < rows_.size()) return;
  rows_.erase(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(head_));
  head_ = 0;
}

namespace {

enum Flag : uint8_t { kProbed = 1, kMatched = 2, kTold = 4, kNullKey = 8, kAfterIdle = 16 };

void EncodeJoinRow(const JoinRow& row, ByteSink& sink) {
  sink.PutI64(row.time_us);
  sink.PutI64(row.watermark_us);
  sink.PutU64(row.ordinal);
  sink.PutU8(static_cast<uint8_t>((row.probed ? kProbed : 0) | (row.matched ? kMatched : 0) | (row.told ? kTold : 0) |
                                  (row.null_key ? kNullKey : 0) | (row.after_idle ? kAfterIdle : 0)));
  sink.PutString(row.values);
}

JoinRow DecodeJoinRow(ByteSource& source) {
  JoinRow row;
  row.time_us = source.GetI64();
  row.watermark_us = source.GetI64();
  row.ordinal = source.GetU64();
  const uint8_t flags = source.GetU8();
  row.probed = (flags & kProbed) != 0;
  row.matched = (flags & kMatched) != 0;
  row.told = (flags & kTold) != 0;
  row.null_key = (flags & kNullKey) != 0;
  row.after_idle = (flags & kAfterIdle) != 0;
  row.values = std::string(source.GetString());
  return row;
}

}  // namespace

void JoinRows::Encode(ByteSink& sink) const {
  for (const JoinSide& side : sides) {
    sink.PutVarint(side.size());
    for (size_t i = 0; i < side.size(); ++i) EncodeJoinRow(side.at(i), sink);
  }
  for (const auto& rows : late) {
    sink.PutVarint(rows.size());
    for (const JoinRow& row : rows) EncodeJoinRow(row, sink);
  }
}

bool JoinRows::Decode(ByteSource& source, uint16_t codec) {
  if (codec != 1) return false;
  for (JoinSide& side : sides) {
    for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
      JoinRow row = DecodeJoinRow(source);
      if (row.probed) probed_until = std::max(probed_until, row.time_us);
      side.Insert(std::move(row));
    }
  }
  for (auto& rows : late)
    for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) rows.push_back(DecodeJoinRow(source));
  return source.ok() && !empty();
}

}  // namespace freshet
