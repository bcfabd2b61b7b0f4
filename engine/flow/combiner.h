#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/batch/key_codec.h"

namespace freshet {

/// Partial results of rows of one batch that belong together (equal key, equal window assignment), made before the
/// batch is divided over lanes. Immutable, shared by the lanes. What a partial result is knows only who made it: the
/// receiving operator casts to its own subclass.
class CombinedRows {
 public:
  struct Group {
    int32_t first_row = 0;  ///< of the batch; it carries the group's key and event time
    int32_t row_count = 0;  ///< at least 2
    /// Rows of the group may be taken as one only if all their own watermarks are below this: none of them is late.
    EventTime over_at = EventTime::Max();
  };
  virtual ~CombinedRows() = default;
  const std::vector<Group>& groups() const { return groups_; }
  /// Per row of the batch: its group, -1 for a row that travels as itself.
  const std::vector<int32_t>& group_of() const { return group_of_; }

 protected:
  std::vector<Group> groups_;
  std::vector<int32_t> group_of_;
};

/// Makes them: one per exchange. Thread-safe: a source's decoders use it side by side.
class Combiner {
 public:
  virtual ~Combiner() = default;
  /// Whether the next batch is worth a look. Where batches have few rows that belong together it mostly says no. Counts
  /// the batches it is asked about.
  virtual bool Wants() = 0;
  /// Null if it would not pay, or if rows have to be looked at one by one; results do not depend on that. Needs the
  /// rows' columns and event times only. REQUIRES: dense rows, `keys` are theirs.
  virtual std::shared_ptr<const CombinedRows> Combine(const Batch& rows, const EncodedKeys& keys) = 0;
};

/// In RowMeta of what one lane gets of a combined batch: some of its rows are the first of a group and stand for it.
/// The counters count the rows they stand for. Such a batch lives between an exchange and its operator only, and only
/// whole: nothing derived from some of its rows may keep this.
struct PartialRows {
  std::shared_ptr<const CombinedRows> combined;
  std::vector<int32_t> group_of;  ///< per row: the group it stands for, -1: itself
  /// The whole batch, all lanes' rows as they were: for a group that the operator must take row by row after all.
  Batch whole;
  int64_t more_rows = 0;  ///< beyond those that the batch has
};

/// Rows that a batch stands for.
inline int64_t RowsMeant(const Batch& batch) {
  const auto& partials = batch.meta().partials;
  return batch.row_count() + (partials ? partials->more_rows : 0);
}

}  // namespace freshet
