#include "engine/flow/outbox.h"

#include "engine/base/bytes.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr uint8_t kKnownCodec = 2;  // 1: without the epoch of an unclaimed one
// What stands behind a sink's name in a key. Frozen.
constexpr uint8_t kEagerWaiting = 1;
constexpr uint8_t kCommitWaiting = 2;
constexpr uint8_t kKnown = 3;
constexpr uint8_t kTotals = 4;
constexpr uint8_t kPrepared = 5;
constexpr uint8_t kBeyond = 6;

std::string PrefixOf(const std::string& sink_id) {
  ByteSink sink;
  sink.PutString(sink_id);
  return sink.Take();
}

std::string KeyOf(const std::string& prefix, uint8_t kind, std::string_view rest = {}) {
  std::string key = prefix;
  key += static_cast<char>(kind);
  key += rest;
  return key;
}

std::string BigEndian(uint64_t v) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(v >> shift & 0xff);
  return bytes;
}

Status Unreadable() { return Status::DataLoss("a row of the outbox cannot be read: start over with --fresh"); }

Status CheckCodec(ByteSource& source, uint8_t newest = kCodec, uint8_t* codec = nullptr) {
  const uint8_t found = source.GetU8();
  if (found > newest)
    return Status::Unsupported("the outbox was written by a newer Freshet: run that one, or start over with --fresh");
  if (codec != nullptr) *codec = found;
  return found >= kCodec && source.ok() ? Status::Ok() : Unreadable();
}

Result<Outbox::Known> DecodeKnown(std::string_view bytes) {
  ByteSource source(bytes);
  uint8_t codec = 0;
  FRESHET_RETURN_IF_ERROR(CheckCodec(source, kKnownCodec, &codec));
  Outbox::Known known;
  known.epoch = source.GetU64();
  known.fate = static_cast<Outbox::Fate>(source.GetU8());
  known.written_wall_us = source.GetI64();
  if (codec > 1) known.unclaimed_at = source.GetU64();
  if (!source.ok()) return Unreadable();
  return known;
}

}  // namespace

Outbox::Outbox(OutboxStore* store, const std::string& sink_id) : store_(store), prefix_(PrefixOf(sink_id)) {}

std::string Outbox::WaitingKey(DeliverMode mode, uint64_t number) const {
  return KeyOf(prefix_, mode == DeliverMode::kEager ? kEagerWaiting : kCommitWaiting, BigEndian(number));
}

void Outbox::PutWaiting(const Waiting& waiting, Changes* changes) const {
  ByteSink sink;
  sink.PutU8(kCodec);
  sink.PutString(waiting.parcel.id);
  sink.PutVarint(static_cast<uint64_t>(waiting.parcel.row_count));
  sink.PutString(waiting.parcel.payload);
  changes->push_back({WaitingKey(waiting.mode, waiting.number), sink.Take()});
}

void Outbox::EraseWaiting(const Waiting& waiting, Changes* changes) const {
  changes->push_back({WaitingKey(waiting.mode, waiting.number), std::nullopt});
}

void Outbox::PutKnown(const std::string& id, const Known& known, Changes* changes) const {
  ByteSink sink;
  sink.PutU8(kKnownCodec);
  sink.PutU64(known.epoch);
  sink.PutU8(static_cast<uint8_t>(known.fate));
  sink.PutI64(known.written_wall_us);
  sink.PutU64(known.unclaimed_at);
  changes->push_back({KeyOf(prefix_, kKnown, id), sink.Take()});
}

void Outbox::EraseKnown(const std::string& id, Changes* changes) const {
  changes->push_back({KeyOf(prefix_, kKnown, id), std::nullopt});
}

void Outbox::PutTotals(const Totals& totals, Changes* changes) const {
  ByteSink sink;
  sink.PutU8(kCodec);
  sink.PutI64(totals.sent);
  sink.PutI64(totals.refused);
  changes->push_back({KeyOf(prefix_, kTotals), sink.Take()});
}

void Outbox::PutPrepared(Epoch epoch, Changes* changes) const {
  ByteSink sink;
  sink.PutU8(kCodec);
  sink.PutU64(epoch.number);
  changes->push_back({KeyOf(prefix_, kPrepared), sink.Take()});
}

Result<std::optional<Outbox::Known>> Outbox::FindKnown(const std::string& id) {
  FRESHET_ASSIGN_OR_RETURN(const auto bytes, store_->Get(KeyOf(prefix_, kKnown, id)));
  if (!bytes) return std::optional<Known>();
  FRESHET_ASSIGN_OR_RETURN(Known known, DecodeKnown(*bytes));
  return std::optional<Known>(known);
}

Result<Outbox::Totals> Outbox::ReadTotals() {
  Totals totals;
  FRESHET_ASSIGN_OR_RETURN(const auto bytes, store_->Get(KeyOf(prefix_, kTotals)));
  if (!bytes) return totals;
  ByteSource source(*bytes);
  FRESHET_RETURN_IF_ERROR(CheckCodec(source));
  totals.sent = source.GetI64();
  totals.refused = source.GetI64();
  if (!source.ok()) return Unreadable();
  return totals;
}

Result<std::vector<Outbox::Waiting>> Outbox::ScanWaiting(DeliverMode mode, uint64_t from, uint64_t to, size_t limit) {
  FRESHET_ASSIGN_OR_RETURN(const auto rows, store_->Scan(WaitingKey(mode, from), WaitingKey(mode, to), limit));
  std::vector<Waiting> found;
  for (const OutboxStore::Row& row : rows) {
    Waiting& waiting = found.emplace_back();
    waiting.mode = mode;
    if (row.key.size() != prefix_.size() + 9) return Unreadable();
    for (const char c : row.key.substr(prefix_.size() + 1))
      waiting.number = waiting.number << 8 | static_cast<uint8_t>(c);
    ByteSource source(row.value);
    FRESHET_RETURN_IF_ERROR(CheckCodec(source));
    waiting.parcel.id = source.GetString();
    waiting.parcel.row_count = static_cast<int64_t>(source.GetVarint());
    waiting.parcel.payload = source.GetString();
    if (!source.ok()) return Unreadable();
  }
  return found;
}

Result<std::vector<std::pair<std::string, Outbox::Known>>> Outbox::ScanKnown(const std::string& after, size_t limit) {
  const std::string first = KeyOf(prefix_, kKnown, after.empty() ? std::string() : after + '\0');
  FRESHET_ASSIGN_OR_RETURN(const auto rows, store_->Scan(first, KeyOf(prefix_, kTotals), limit));
  std::vector<std::pair<std::string, Known>> found;
  for (const OutboxStore::Row& row : rows) {
    FRESHET_ASSIGN_OR_RETURN(const Known known, DecodeKnown(row.value));
    found.emplace_back(row.key.substr(prefix_.size() + 1), known);
  }
  return found;
}

Status Outbox::EraseOnCommitFrom(uint64_t from) {
  return store_->EraseRange(WaitingKey(DeliverMode::kOnCommit, from), KeyOf(prefix_, kKnown));
}

Result<std::vector<std::pair<std::string, int64_t>>> CountWaitingBySink(OutboxStore& store) {
  constexpr size_t kAtOnce = 256;
  std::vector<std::pair<std::string, int64_t>> counts;
  std::string from;
  // From sink to sink: the first key at or after `from` names the next one.
  for (;;) {
    FRESHET_ASSIGN_OR_RETURN(const auto next, store.Scan(from, std::string(16, '\xff'), 1));
    if (next.empty()) return counts;
    ByteSource source(next[0].key);
    const std::string id(source.GetString());
    if (!source.ok()) return Unreadable();
    const std::string prefix = PrefixOf(id);
    int64_t count = 0;
    for (std::string at = KeyOf(prefix, kEagerWaiting);;) {
      FRESHET_ASSIGN_OR_RETURN(const auto rows, store.Scan(at, KeyOf(prefix, kKnown), kAtOnce));
      count += static_cast<int64_t>(rows.size());
      if (rows.size() < kAtOnce) break;
      at = rows.back().key + '\0';
    }
    if (count > 0) counts.emplace_back(id, count);
    from = KeyOf(prefix, kBeyond);
  }
}

}  // namespace freshet
