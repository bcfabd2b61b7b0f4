#pragma once

#include <cstdint>
#include <optional>

#include "engine/base/rng.h"
#include "engine/base/time.h"

namespace freshet {

struct BackoffOptions {
  Duration first = Duration::Millis(500);  ///< ceiling of the first wait; it doubles with each attempt
  Duration longest = Duration::Seconds(30);
};

/// Exponential backoff with full jitter: the n-th wait is uniform in [0, min(longest, first * 2^n)), so that many
/// clients do not come back at once (Brooker, "Exponential Backoff and Jitter", 2015). A server's own wish
/// (Retry-After) counts instead, up to a cap. Seeded; one thread.
class Backoff {
 public:
  Backoff(BackoffOptions options, uint64_t seed) : options_(options), rng_(seed) {}
  /// The wait before the next attempt.
  Duration Next();
  /// The same when the server asked for `wish`: that long, at most `cap`, plus up to a tenth so that clients spread.
  Duration Next(Duration wish, Duration cap);
  /// After a success.
  void Reset() { attempt_ = 0; }
  int attempt() const { return attempt_; }

 private:
  BackoffOptions options_;
  Rng rng_;
  int attempt_ = 0;
};

}  // namespace freshet
