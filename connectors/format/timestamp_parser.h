#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace freshet {

/// Reads the timestamps of one column into microseconds since 1970 UTC. Immutable after Make, thread-safe.
///
/// Without a pattern: RFC 3339 (`T`, `t` or a space between; fraction of 1 to 9 digits, cut to µs; `Z` or an offset,
/// else the column's zone), a bare date (midnight in the zone), or an epoch, integral or not, whose unit follows from
/// its magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds (SEMANTICS.md
/// §2.7). Patterns `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` fix the unit; any other pattern is strptime's, read by
/// Howard Hinnant's date library. A local time that occurs twice is the earlier one, one that is skipped moves past the
/// gap.
class TimestampParser {
 public:
  /// `pattern` may be empty; `zone` is an IANA name, empty for UTC. Fails with a sentence for the pipeline's author.
  static Result<TimestampParser> Make(const std::string& pattern, const std::string& zone);
  TimestampParser() = default;

  std::optional<int64_t> ParseText(std::string_view text) const;
  std::optional<int64_t> ParseInteger(int64_t epoch) const {
    Kind kind = kind_;
    if (kind == Kind::kAuto) {
      const uint64_t size = epoch < 0 ? uint64_t{0} - static_cast<uint64_t>(epoch) : static_cast<uint64_t>(epoch);
      kind = size < 100000000000ULL         ? Kind::kSeconds
             : size < 100000000000000ULL    ? Kind::kMillis
             : size < 100000000000000000ULL ? Kind::kMicros
                                            : Kind::kNanos;
    }
    switch (kind) {
      case Kind::kSeconds:
        return Scaled(epoch, 1000000);
      case Kind::kMillis:
        return Scaled(epoch, 1000);
      case Kind::kMicros:
        return epoch;
      case Kind::kNanos:
        return epoch / 1000 - (epoch % 1000 < 0 ? 1 : 0);
      default:
        return std::nullopt;
    }
  }
  std::optional<int64_t> ParseDouble(double epoch) const;

 private:
  enum class Kind : uint8_t { kAuto, kSeconds, kMillis, kMicros, kNanos, kPattern };
  struct Zone;
  static std::optional<int64_t> Scaled(int64_t epoch, int64_t factor) {
    int64_t us = 0;
    if (__builtin_mul_overflow(epoch, factor, &us)) return std::nullopt;
    return us;
  }
  int64_t ToUtc(int64_t local_us) const;
  std::optional<int64_t> ParseRfc3339(std::string_view text) const;
  std::optional<int64_t> ParsePattern(std::string_view text) const;

  Kind kind_ = Kind::kAuto;
  std::string pattern_;
  bool pattern_has_offset_ = false;
  std::shared_ptr<const Zone> zone_;  ///< null: UTC
};

}  // namespace freshet
