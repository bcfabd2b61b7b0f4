#include "operators/keyed_history.h"

#include <algorithm>

namespace freshet {

KeyedHistory::Item KeyedHistory::ItemAt(const Column& column, int32_t row) {
  if (column.IsNull(row)) return {};
  switch (column.type()) {
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return column.int64s()[row];
    case TypeId::kFloat64:
      return column.float64s()[row];
    case TypeId::kBool:
      return column.BoolAt(row);
    default:
      return std::string(column.StringAt(row));
  }
}

void KeyedHistory::Append(const Item& item, ColumnBuilder& builder) {
  if (const auto* i = std::get_if<int64_t>(&item))
    builder.AppendInt64(*i);
  else if (const auto* d = std::get_if<double>(&item))
    builder.AppendFloat64(*d);
  else if (const auto* b = std::get_if<bool>(&item))
    builder.AppendBool(*b);
  else if (const auto* s = std::get_if<std::string>(&item))
    builder.AppendString(*s);
  else
    builder.AppendNull();
}

void KeyedHistory::StepLag(Call& call, const KeyedCall& spec, const Column& argument, int32_t row,
                           ColumnBuilder& result) {
  const auto offset = static_cast<size_t>(spec.offset);
  if (call.items.size() < offset) {
    result.AppendNull();
    call.items.push_back(ItemAt(argument, row));
    return;
  }
  Item& oldest = call.items[call.next];
  Append(oldest, result);
  oldest = ItemAt(argument, row);
  call.next = (call.next + 1) % offset;
}

void KeyedHistory::StepChange(Call& call, const KeyedCall& spec, const Column& argument, int32_t row, EventTime time,
                              ColumnBuilder& result, int64_t* nulled) {
  Item now = ItemAt(argument, row);
  if (std::holds_alternative<std::monostate>(now)) return result.AppendNull();
  if (call.items.empty()) {
    result.AppendNull();
    call.items.emplace_back(std::move(now));
    call.time = time;
    return;
  }
  const bool whole = std::holds_alternative<int64_t>(now);
  const Item& before = call.items[0];
  int64_t steps = 0;
  const bool overflow = whole && __builtin_sub_overflow(std::get<int64_t>(now), std::get<int64_t>(before), &steps);
  const double change =
      whole ? static_cast<double>(std::get<int64_t>(now)) - static_cast<double>(std::get<int64_t>(before))
            : std::get<double>(now) - std::get<double>(before);
  if (spec.function == KeyedCall::Function::kRate) {
    const int64_t elapsed_us = time.us - call.time.us;
    const bool fell = whole ? std::get<int64_t>(now) < std::get<int64_t>(before) : change < 0;
    if (elapsed_us <= 0 || fell) {
      result.AppendNull();
      ++*nulled;
    } else {
      result.AppendFloat64((whole && !overflow ? static_cast<double>(steps) : change) /
                           (static_cast<double>(elapsed_us) / 1e6));
    }
  } else if (!whole) {
    result.AppendFloat64(change);
  } else if (overflow) {
    result.AppendNull();
    ++*nulled;
  } else {
    result.AppendInt64(steps);
  }
  call.items[0] = std::move(now);
  call.time = time;
}

bool KeyedHistory::IsExpired(int64_t now_us, int64_t ttl_us) const {
  return std::all_of(calls_.begin(), calls_.end(),
                     [&](const Call& call) { return IsForgotten(call.seen_us, now_us, ttl_us); });
}

int64_t KeyedHistory::MemoryBytes() const {
  auto bytes = static_cast<int64_t>(calls_.capacity() * sizeof(Call));
  for (const Call& call : calls_) {
    bytes += static_cast<int64_t>(call.items.capacity() * sizeof(Item));
    for (const Item& item : call.items)
      if (const auto* s = std::get_if<std::string>(&item)) bytes += static_cast<int64_t>(s->capacity());
  }
  return bytes;
}

void KeyedHistory::Encode(ByteSink& sink) const {
  sink.PutVarint(calls_.size());
  for (const Call& call : calls_) {
    sink.PutI64(call.time.us);
    sink.PutI64(call.seen_us);
    sink.PutVarint(call.next);
    sink.PutVarint(call.items.size());
    for (const Item& item : call.items) {
      sink.PutU8(static_cast<uint8_t>(item.index()));
      if (const auto* i = std::get_if<int64_t>(&item))
        sink.PutI64(*i);
      else if (const auto* d = std::get_if<double>(&item))
        sink.PutF64(*d);
      else if (const auto* b = std::get_if<bool>(&item))
        sink.PutBool(*b);
      else if (const auto* s = std::get_if<std::string>(&item))
        sink.PutString(*s);
    }
  }
}

bool KeyedHistory::Decode(ByteSource& source, uint16_t codec) {
  if (codec < 1 || codec > kCodec) return false;
  const uint64_t call_count = source.GetVarint();
  if (call_count > source.remaining()) return false;
  calls_.assign(call_count, {});
  for (Call& call : calls_) {
    call.time.us = source.GetI64();
    if (codec >= 2) call.seen_us = source.GetI64();
    call.next = source.GetVarint();
    const uint64_t item_count = source.GetVarint();
    if (item_count > source.remaining() || call.next > item_count) return false;
    for (uint64_t n = 0; n < item_count; ++n) {
      switch (source.GetU8()) {
        case 0:
          call.items.emplace_back();
          break;
        case 1:
          call.items.emplace_back(source.GetI64());
          break;
        case 2:
          call.items.emplace_back(source.GetF64());
          break;
        case 3:
          call.items.emplace_back(source.GetBool());
          break;
        case 4:
          call.items.emplace_back(std::string(source.GetString()));
          break;
        default:
          return false;
      }
    }
  }
  return source.ok();
}

}  // namespace freshet
