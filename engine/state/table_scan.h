#pragma once

#include <bitset>
#include <string>
#include <string_view>
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

}  // namespace freshet
