#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace freshet {

/// What waits to leave by network, beside the checkpoint and in the same directory: a durable map in key order, written
/// with a log and never with an epoch (SEMANTICS.md §5.2). What stands in it is the business of engine/flow/outbox.h.
/// Thread-safe; lives as long as its CheckpointStore.
class OutboxStore {
 public:
  struct Row {
    std::string key;
    std::string value;
  };
  struct Change {
    std::string key;
    std::optional<std::string> value;  ///< absent: the key goes
  };
  virtual ~OutboxStore() = default;
  virtual Result<std::optional<std::string>> Get(std::string_view key) = 0;
  /// All changes or none. `synced`: they survive a power cut when it returns; else the death of the process, and a
  /// power cut from the next synced Write on. After an error it is not known whether
  /// they are there (bytes may have reached the disk): repeat the call; it tries anew (kNoSpace: the disk is full).
  virtual Status Write(const std::vector<Change>& changes, bool synced) = 0;
  /// At most `limit` rows with from <= key < to, in key order.
  virtual Result<std::vector<Row>> Scan(std::string_view from, std::string_view to, size_t limit) = 0;
  /// All keys with from <= key < to go, however many. Not synced.
  virtual Status EraseRange(std::string_view from, std::string_view to) = 0;
};

/// For tests, and for runs that keep nothing.
std::unique_ptr<OutboxStore> NewMemoryOutbox();

}  // namespace freshet
