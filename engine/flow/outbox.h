#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/time.h"
#include "engine/flow/network_sink.h"
#include "engine/state/outbox_store.h"

namespace freshet {

/// The rows of one network sink in the outbox: what stands where (engine/state/FORMAT.md, "Outbox"). Encodes and reads;
/// decides nothing. Thread-safe, as the store is.
class Outbox {
 public:
  enum class Fate : uint8_t { kWaiting = 0, kDelivered = 1, kRefused = 2 };  // frozen
  /// A claim of no epoch: the row was written before a crash and has not come again yet.
  static constexpr uint64_t kUnclaimed = UINT64_MAX;

  /// What is known of an eager parcel, by its id. Kept after delivery, so that a replay finds it.
  struct Known {
    uint64_t epoch = kUnclaimed;  ///< the row that made it counts from this epoch on
    Fate fate = Fate::kWaiting;
    int64_t written_wall_us = 0;
    /// Unclaimed: the newest epoch when it was first found so. A run that has committed a later one has been through
    /// the rows that could come again. kUnclaimed: not known (codec 1).
    uint64_t unclaimed_at = kUnclaimed;
  };
  struct Totals {
    int64_t sent = 0;     ///< rows
    int64_t refused = 0;  ///< rows
  };
  struct Waiting {
    DeliverMode mode = DeliverMode::kOnCommit;
    uint64_t number = 0;  ///< eager: order of arrival; on commit: ordinal of the first row
    Parcel parcel;
  };
  using Changes = std::vector<OutboxStore::Change>;

  Outbox(OutboxStore* store, const std::string& sink_id);

  Status Write(const Changes& changes, bool synced) { return store_->Write(changes, synced); }
  void PutWaiting(const Waiting& waiting, Changes* changes) const;
  void EraseWaiting(const Waiting& waiting, Changes* changes) const;
  void PutKnown(const std::string& id, const Known& known, Changes* changes) const;
  void EraseKnown(const std::string& id, Changes* changes) const;
  void PutTotals(const Totals& totals, Changes* changes) const;
  /// Says nothing anybody reads: a row for a synced Write that makes earlier ones durable.
  void PutPrepared(Epoch epoch, Changes* changes) const;

  Result<std::optional<Known>> FindKnown(const std::string& id);
  Result<Totals> ReadTotals();
  /// At most `limit` that wait, numbers from <= n < to, in order.
  Result<std::vector<Waiting>> ScanWaiting(DeliverMode mode, uint64_t from, uint64_t to, size_t limit);
  /// At most `limit` known ids greater than `after`, in order.
  Result<std::vector<std::pair<std::string, Known>>> ScanKnown(const std::string& after, size_t limit);
  /// Forgets what waits for a commit from ordinal `from` on.
  Status EraseOnCommitFrom(uint64_t from);

 private:
  std::string WaitingKey(DeliverMode mode, uint64_t number) const;
  OutboxStore* const store_;
  const std::string prefix_;
};

/// How many parcels wait for each sink that has some, whether or not the pipeline still has that sink.
Result<std::vector<std::pair<std::string, int64_t>>> CountWaitingBySink(OutboxStore& store);

}  // namespace freshet
