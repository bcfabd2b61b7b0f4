#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/time.h"
#include "engine/batch/column.h"
#include "engine/batch/schema.h"

namespace freshet {

/// Place of a row in its source: (partition ordinal, row ordinal), comparable as one number. Rows made out of state get
/// ordinals from a running counter where they leave the step that made them, partition 0.
struct Ordinal {
  static constexpr int kRowBits = 48;
  uint64_t value = 0;
  static constexpr Ordinal Of(uint32_t partition, uint64_t row) { return {(uint64_t{partition} << kRowBits) | row}; }
  constexpr uint32_t partition() const { return static_cast<uint32_t>(value >> kRowBits); }
  constexpr uint64_t row() const { return value & ((uint64_t{1} << kRowBits) - 1); }
  friend constexpr auto operator<=>(Ordinal, Ordinal) = default;
};

struct PartialRows;

/// What travels with every row beside its columns: event time, the row's own watermark (SEMANTICS.md §2.1), its
/// ordinal, and, between an exchange and its gather, its position in the exchanged batch. Each is one value for the
/// whole batch (the cheap form) or a buffer with one per physical row.
struct RowMeta {
  BufferRef times;                         ///< int64 µs; absent: the rows have no event time
  EventTime watermark = EventTime::Min();  ///< of all rows, unless `watermarks`
  BufferRef watermarks;                    ///< int64 µs
  Ordinal first_ordinal;                   ///< of physical row 0, the next ones follow, unless `ordinals`
  BufferRef ordinals;                      ///< uint64
  BufferRef positions;                     ///< uint32; absent: position = row
  /// The time that the rows' partition or input took over from the others when it came back (SEMANTICS.md §2.4): a row
  /// whose own watermark is not above it is late for no other reason. Min(): it never was away.
  EventTime joined = EventTime::Min();
  /// Between an exchange and its operator: which rows stand for several (engine/flow/combiner.h). Mostly null.
  std::shared_ptr<const PartialRows> partials;
  int32_t offset = 0;  ///< index of row 0 in the buffers
};

/// The rows of a batch that count, as ascending physical indices.
struct Selection {
  BufferRef indices;  ///< int32
  int32_t count = 0;
};

/// A set of rows: schema, columns, row meta data, optionally a selection. Immutable, shared by a cheap handle,
/// thread-safe to read. `row_count()` counts selected rows; the physical accessors ignore the selection. Operators get
/// dense batches (no selection) unless they declare otherwise.
///
/// A batch may carry a `hold`: a credit of its source, given back when the last batch derived from it is gone. Every
/// derivation below keeps it. State copies out of a batch and never keeps the batch itself (Detached() drops the hold).
class Batch {
 public:
  using Hold = std::shared_ptr<const void>;
  Batch() = default;
  /// REQUIRES: columns match the schema's types and have `row_count` rows each.
  Batch(SchemaRef schema, std::vector<Column> columns, int32_t row_count, RowMeta meta, Hold hold = {});

  bool empty() const { return row_count() == 0; }
  int32_t row_count() const {
    return data_ ? (data_->selection.indices ? data_->selection.count : data_->row_count) : 0;
  }
  const SchemaRef& schema() const { return data_->schema; }
  int column_count() const { return static_cast<int>(data_->columns.size()); }
  const Column& column(int index) const { return data_->columns[static_cast<size_t>(index)]; }
  const std::vector<Column>& columns() const { return data_->columns; }
  const RowMeta& meta() const { return data_->meta; }
  const Hold& hold() const { return data_->hold; }

  bool has_selection() const { return data_ && data_->selection.indices; }
  const Selection& selection() const { return data_->selection; }
  int32_t physical_row_count() const { return data_ ? data_->row_count : 0; }

  /// By physical row.
  bool has_times() const { return static_cast<bool>(data_->meta.times); }
  EventTime time(int32_t row) const {
    const RowMeta& m = data_->meta;
    return m.times ? EventTime{m.times.as<int64_t>()[m.offset + row]} : EventTime::Min();
  }
  EventTime row_watermark(int32_t row) const {
    const RowMeta& m = data_->meta;
    return m.watermarks ? EventTime{m.watermarks.as<int64_t>()[m.offset + row]} : m.watermark;
  }
  /// If the row is late, then because its partition or input was idle.
  bool after_idle(int32_t row) const { return row_watermark(row) <= data_->meta.joined; }
  Ordinal ordinal(int32_t row) const {
    const RowMeta& m = data_->meta;
    if (m.ordinals) return {m.ordinals.as<uint64_t>()[m.offset + row]};
    return {m.first_ordinal.value + static_cast<uint64_t>(m.offset + row)};
  }
  uint32_t position(int32_t row) const {
    const RowMeta& m = data_->meta;
    return m.positions ? m.positions.as<uint32_t>()[m.offset + row] : static_cast<uint32_t>(row);
  }

  /// All rows, physically: the selection applied by copying. Cheap when there is none.
  Batch Dense() const;
  /// This batch restricted to the given physical rows, ascending. REQUIRES: a subset of the selected ones.
  Batch WithSelection(Selection selection) const;
  /// Dense copies of physical rows in any order (meta data too).
  Batch Take(const int32_t* indices, int32_t count) const;
  /// Rows [from, from + count) without copying. REQUIRES: no selection.
  Batch Slice(int32_t from, int32_t count) const;
  /// Other columns for the same rows: meta data, selection and hold stay. REQUIRES: columns of physical_row_count()
  /// rows.
  Batch WithColumns(SchemaRef schema, std::vector<Column> columns) const;
  /// This schema's columns and then `more`. REQUIRES: `schema` = this schema + the new fields.
  Batch WithAppended(SchemaRef schema, std::vector<Column> more) const;
  Batch WithMeta(RowMeta meta) const;
  Batch WithHold(Hold hold) const;
  /// The same rows without the hold: for what outlives its message.
  Batch Detached() const { return WithHold({}); }
  /// Bytes of the selected rows' columns and meta data (physical size scaled by the share selected).
  int64_t ByteSize() const;

 private:
  struct Data {
    SchemaRef schema;
    std::vector<Column> columns;
    int32_t row_count = 0;
    Selection selection;
    RowMeta meta;
    Hold hold;
  };
  explicit Batch(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

/// End to end. REQUIRES: one schema, no selections; the result has per-row meta data and holds all their holds.
Batch ConcatBatches(const std::vector<Batch>& batches);

}  // namespace freshet
