#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/backoff.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/batch/batch.h"
#include "engine/flow/sink.h"

namespace freshet {

/// When a row of a network sink leaves (SEMANTICS.md §6.1): once the epoch that holds it is committed, or as soon as it
/// is safe in the outbox.
enum class DeliverMode : uint8_t { kOnCommit, kEager };

/// What one request carries. Both parts are equal on every attempt and after a restart.
struct Parcel {
  std::string id;  ///< printable ASCII, at most 255 bytes; nothing else ever has it
  std::string payload;
  int64_t row_count = 0;
};

struct DeliveryResult {
  enum class Kind : uint8_t { kDelivered, kRetryLater, kRefused };
  Kind kind = Kind::kDelivered;
  std::string reason = {};                   ///< for people; without secrets
  std::optional<Duration> retry_after = {};  ///< the receiver's own wish
};

/// The part of a network sink that knows its protocol. The engine owns the rest: the outbox, attempts and waits, what
/// leaves when, what is counted (engine/flow/outbox_sink.h).
/// Threads: AppendRow on the sink's, Send on the delivery's, Interrupt and target on any.
class NetworkSink {
 public:
  virtual ~NetworkSink() = default;
  virtual Status Open(const SinkOpenContext& ctx) = 0;
  /// Appends one row of a dense batch to a parcel's payload; `first`: the payload is empty so far. A pure function of
  /// the row.
  virtual void AppendRow(const Batch& batch, int32_t row, bool first, std::string* payload) = 0;
  /// One attempt; waits for the answer, but not for ever.
  virtual DeliveryResult Send(const Parcel& parcel) = 0;
  /// A Send under way returns within about a second, and from now on all do, with kRetryLater.
  virtual void Interrupt() = 0;
  /// Where rows go, without anything secret.
  virtual std::string target() const = 0;
};

/// How the engine treats a network sink's rows.
struct OutboxOptions {
  enum class WhenExhausted : uint8_t { kWait, kDeadLetter, kFail };
  /// Schemas of the inputs whose rows are eager: they carry `alert_id` and `state`, which are their identity.
  std::vector<SchemaRef> eager_schemas = {};
  int32_t parcel_row_count_max = 1;  ///< eager rows always go alone
  BackoffOptions backoff = {};
  Duration retry_after_max = Duration::Seconds(300);  ///< cap on a receiver's own wish
  /// Further attempts before a parcel is given up; with kWait that only matters at the end of the input.
  int retry_count_max = 8;
  WhenExhausted when_exhausted = WhenExhausted::kWait;
  bool fail_when_refused = false;      ///< else refused rows become dead letters
  int64_t waiting_count_max = 100000;  ///< parcels that may wait before the sources are held back
  uint64_t seed = 0;                   ///< of the waits' jitter; 0: a fresh one
};

/// What a network sink has done so far, in rows; the totals outlive restarts.
struct DeliveryCounts {
  int64_t sent = 0;      ///< delivered
  int64_t waiting = 0;   ///< in the outbox
  int64_t refused = 0;   ///< dead-lettered: refused for good, or given up
  int64_t repeated = 0;  ///< of `refused`: rows with an identity that another row had already
  int64_t retried = 0;   ///< attempts beyond each parcel's first, in this run
};

}  // namespace freshet
