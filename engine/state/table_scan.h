#pragma once

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "engine/state/keyed_table.h"

namespace freshet {

/// Walks the committed rows of some key groups of a table in the order of their keys, across the groups: a merge that
/// holds a piece of each group at a time. It sees commits that happen meanwhile for pieces it has not read yet; who
/// walks makes sure that this does no harm (KeyedTable::HoldEviction). One thread.
class StoredScan {
 public:
  /// `rows` must outlive the scan.
  StoredScan(CommittedRows* rows, const std::bitset<kKeyGroupCount>& groups);
  /// Goes to the first or next row; `*found` is false behind the last one.
  Status Next(bool* found);
  std::string_view key() const { return heap_.front()->rows[heap_.front()->at].first; }
  std::string_view value() const { return heap_.front()->rows[heap_.front()->at].second; }
  uint16_t key_group() const { return heap_.front()->group; }

 private:
  struct Piece {
    uint16_t group = 0;
    size_t at = 0;
    bool last = false;
    std::string from;
    std::vector<std::pair<std::string, std::string>> rows;
  };
  Status Read(Piece* piece);
  static bool After(const Piece* a, const Piece* b) { return a->rows[a->at].first > b->rows[b->at].first; }

  CommittedRows* const committed_;
  bool started_ = false;
  std::vector<Piece> pieces_;
  std::vector<Piece*> heap_;  ///< the front has the smallest key
};

/// Goes over the committed rows of a lane, a piece at each call, round after round, so that keys nobody asks for are
/// met too. What it reads is judged at once: nothing is held between calls. One thread.
class StoredSweep {
 public:
  /// `rows` must outlive the sweep.
  explicit StoredSweep(CommittedRows* rows) : committed_(rows), group_(rows->first_key_group) {}
  /// Up to `row_count_max` rows. `visit` returns false to be asked again about this row by the next call.
  /// `*round_over`: the next call begins anew.
  Status Next(size_t row_count_max,
              const std::function<Result<bool>(std::string_view key, std::string_view value)>& visit, bool* round_over);

 private:
  CommittedRows* const committed_;
  uint16_t group_;
  std::string from_;
};

/// How many rows of the store a sweep looks at: two for each row that has come since it last did, so that a store in
/// which every row leaves a key behind is at most half full of what is over.
class SweepPace {
 public:
  /// `least`: at each watermark, although nothing comes.
  explicit SweepPace(size_t least) : least_(least) {}
  void RowsCame(int64_t count) { came_ += count; }
  /// At a watermark, whether a sweep is under way or not.
  size_t Take() { return std::max<size_t>(least_, 2 * static_cast<size_t>(std::exchange(came_, 0))); }

 private:
  const size_t least_;
  int64_t came_ = 0;
};

/// f(std::string_view key, V& value) for each key, in no particular order; of those that are in the store only a copy,
/// what `f` changes is lost. For what is rare, such as finding the deadlines after a restart: it reads all of the
/// store.
template <class V, class F>
Status ForEachStored(KeyedTable<V>* table, F&& f) {
  table->ForEach(f);
  if (!table->has_evicted()) return Status::Ok();
  StoredSweep sweep(table->committed_rows());
  const auto visit = [&](std::string_view key, std::string_view bytes) -> Result<bool> {
    if (table->Resident(HashKey(key), key)) return true;
    V value;
    FRESHET_RETURN_IF_ERROR(table->DecodeValue(bytes, table->options().codec, &value));
    f(key, value);
    return true;
  };
  for (bool over = false; !over;) FRESHET_RETURN_IF_ERROR(sweep.Next(4096, visit, &over));
  return Status::Ok();
}

}  // namespace freshet
