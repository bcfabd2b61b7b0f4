#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"

namespace freshet {

/// XXH3-64 of any bytes: ids that must be equal on every run (alerts, idempotency keys).
uint64_t HashBytes(std::string_view bytes);
/// Low 32 bits of XXH3-64 over a canonical key. Frozen (SEMANTICS.md §5.5).
uint32_t HashKey(std::string_view key);
/// Flink's MathUtils.murmurHash(hash) % 128. Frozen; ten vectors stand in engine/state/FORMAT.md.
uint16_t KeyGroupOf(uint32_t hash);
/// The lane that owns a key group when there are `lane_count`, as Flink's KeyGroupRangeAssignment divides them.
inline int LaneOfKeyGroup(uint16_t key_group, int lane_count) { return key_group * lane_count / kKeyGroupCount; }
/// First key group of a lane; a lane owns [FirstKeyGroup(lane), FirstKeyGroup(lane + 1)).
inline uint16_t FirstKeyGroup(int lane, int lane_count) {
  return static_cast<uint16_t>((lane * kKeyGroupCount + lane_count - 1) / lane_count);
}

/// Turns the key columns of a row into one byte string, the canonical key, whose bytewise order is the order of the
/// values (null first, integers and floats by value, strings by their bytes), and back. Frozen: it stands in state.
///   column := 0x00 (null) | 0x01 payload
///   int64, timestamp: 8 bytes big-endian, sign bit flipped · bool: 1 byte · float64: 8 bytes, order-preserving, -0 as
///   0, every NaN alike · string, json: in the last column the bytes as they are; before it 0x00 becomes 0x00 0xff and
///   0x00 0x01 ends it.
/// An empty column list gives the empty key (everything in one group).
class KeyCodec {
 public:
  KeyCodec() = default;
  /// `columns` are indices into the schema of the batches; lists cannot be keys (checked by the planner).
  KeyCodec(const Schema& schema, std::vector<int> columns);

  const std::vector<int>& columns() const { return columns_; }
  bool empty() const { return columns_.empty(); }
  const std::vector<TypeId>& types() const { return types_; }
  /// Appends the canonical key of a physical row.
  void Encode(const Batch& batch, int32_t row, std::string& key) const;
  /// Appends the key's values to `builders`, one per key column. False if the bytes are not such a key.
  bool Decode(std::string_view key, std::vector<ColumnBuilder>& builders) const;

 private:
  std::vector<int> columns_;
  std::vector<TypeId> types_;
};

/// Canonical keys and hashes of all physical rows of one batch; reused from batch to batch without allocation.
class EncodedKeys {
 public:
  void Encode(const KeyCodec& codec, const Batch& batch);
  std::string_view key(int32_t row) const {
    const auto r = static_cast<size_t>(row);
    return {bytes_.data() + ends_[r], ends_[r + 1] - ends_[r]};
  }
  uint32_t hash(int32_t row) const { return hashes_[static_cast<size_t>(row)]; }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
  std::vector<uint32_t> hashes_;
};

}  // namespace freshet
