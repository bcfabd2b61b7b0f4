#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// Alerts with equal labels: those that are not to be told while certain others fire. A plain value that knows no
/// runtime type.
///
/// An alert that begins to fire while another one, the inhibitor, fires is held: it is told when the last inhibitor is
/// over, if it still fires, and never if it resolved before. One that was told before its inhibitor began is told as
/// resolved whenever that happens.
class Inhibition {
 public:
  struct Event {
    int64_t time_us = 0;
    uint32_t input = 0;  ///< 0: an alert that may be held; else an inhibitor
    bool firing = false;
    std::string id;
    std::string row_bytes;  ///< of input 0, encoded
  };
  /// A row that leaves, and when.
  struct Leaving {
    int64_t time_us = 0;
    std::string row_bytes;
  };

  /// Rows as they come, of one input in the order of their times.
  void Add(Event event) { waiting_.push_back(std::move(event)); }
  /// All rows before `now_us` have come: they count in the order of their times; of one moment inhibitors go first,
  /// those that begin before those that end. Appends what leaves, in the order of its times.
  void Advance(int64_t now_us, std::vector<Leaving>* leaving);
  /// The time of the earliest row that has not counted yet; INT64_MAX if there is none.
  int64_t NextTime() const;
  bool empty() const { return waiting_.empty() && inhibitors_.empty() && held_.empty(); }

  /// Calls `change` for the bytes of each row it keeps; false if a call says so.
  bool ChangeRows(const std::function<bool(std::string*)>& change);
  /// Beside the object itself.
  int64_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  std::vector<Event> waiting_;
  std::set<std::pair<uint32_t, std::string>> inhibitors_;  ///< firing: (input, id)
  std::vector<Event> held_;                                ///< in the order they began to fire
};

}  // namespace freshet
