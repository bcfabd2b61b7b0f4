#include "operators/join/join_rows.h"

#include <algorithm>
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
  const auto at = static_cast<uint32_t>(JoinQueue::Insert(std::move(row)));
  probe_from_ = std::min(probe_from_, at);
  tell_from_ = std::min(tell_from_, at);
}

void JoinSide::PopFront() {
  JoinQueue::PopFront();
  probe_from_ -= probe_from_ > 0;
  tell_from_ -= tell_from_ > 0;
}

size_t JoinSide::FirstFrom(int64_t time_us) const {
  return static_cast<size_t>(
      std::lower_bound(front(), back(), time_us, [](const JoinRow& r, int64_t t) { return r.time_us < t; }) - front());
}

JoinRow* JoinSide::NextUnprobed() {
  while (probe_from_ < size() && (at(probe_from_).probed || at(probe_from_).null_key)) ++probe_from_;
  return probe_from_ < size() ? &at(probe_from_) : nullptr;
}

JoinRow* JoinSide::NextUntold() {
  while (tell_from_ < size() && (at(tell_from_).matched || at(tell_from_).told)) ++tell_from_;
  return tell_from_ < size() ? &at(tell_from_) : nullptr;
}

void JoinRows::InsertLate(size_t side, JoinRow row) {
  if (late == nullptr) late = std::make_unique<std::array<LateJoinRows, 2>>();
  (*late)[side].Insert(std::move(row));
}

void JoinRows::PopLate(size_t side) {
  (*late)[side].PopFront();
  if (late_count() == 0) late.reset();
}

JoinPlace JoinRows::NextAction(const JoinReach& reach, bool left_outer) {
  JoinPlace next = JoinPlace::Never();
  for (JoinSide& side : sides)
    if (const JoinRow* row = side.NextUnprobed(); row != nullptr)
      next = std::min(next, JoinPlace{row->time_us, JoinPlace::kOnTime});
  if (left_outer)
    if (const JoinRow* row = sides[0].NextUntold(); row != nullptr)
      next = std::min(next, JoinPlace{reach.Last(row->time_us), JoinPlace::kOnTime});
  if (late == nullptr) return next;
  for (const LateJoinRows& rows : *late)
    if (rows.size() > 0) next = std::min(next, JoinPlace::OfLate(rows.at(0).watermark_us, rows.at(0).time_us));
  return next;
}

JoinPlace JoinRows::NextForgetting(const JoinReach& reach, bool all) const {
  JoinPlace next = JoinPlace::Never();
  for (const JoinSide& side : sides) {
    if (side.size() == 0) continue;
    const JoinPlace place{reach.Last(side.at(all ? side.size() - 1 : 0).time_us), JoinPlace::kForget};
    next = next == JoinPlace::Never() ? place : all ? std::max(next, place) : std::min(next, place);
  }
  return next;
}

int64_t JoinRows::bytes() const {
  int64_t bytes = sides[0].bytes() + sides[1].bytes();
  if (late != nullptr) bytes += static_cast<int64_t>(sizeof *late) + (*late)[0].bytes() + (*late)[1].bytes();
  return bytes;
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

template <class Rows>
void EncodeJoinRows(const Rows& rows, ByteSink& sink) {
  sink.PutVarint(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) EncodeJoinRow(rows.at(i), sink);
}

/// Of a row as it is encoded, without its values.
constexpr size_t kJoinRowBytes = 26;

}  // namespace

void JoinRows::Encode(ByteSink& sink) const {
  for (const JoinSide& side : sides) EncodeJoinRows(side, sink);
  static const LateJoinRows kNone;
  for (size_t side = 0; side < 2; ++side) EncodeJoinRows(late == nullptr ? kNone : (*late)[side], sink);
}

bool JoinRows::Decode(ByteSource& source, uint16_t codec) {
  if (codec != kCodec) return false;
  for (JoinSide& side : sides) {
    uint64_t n = source.GetVarint();
    side.Reserve(std::min<uint64_t>(n, source.remaining() / kJoinRowBytes));
    for (; n > 0 && source.ok(); --n) {
      JoinRow row = DecodeJoinRow(source);
      if (row.probed) probed_until = std::max(probed_until, row.time_us);
      side.Insert(std::move(row));
    }
  }
  for (size_t side = 0; side < 2; ++side)
    for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) InsertLate(side, DecodeJoinRow(source));
  return source.ok() && !empty();
}

}  // namespace freshet
