#pragma once

#include <cstdint>
#include <string>

namespace date {
class time_zone;
}

namespace freshet {

/// A zone of the IANA database by its name ("Europe/Berlin"), for the life of the process; null if there is none.
/// Thread-safe.
const date::time_zone* FindTimeZone(const std::string& name);
/// Local time minus UTC at a moment of event time, in µs. A null zone is UTC. REQUIRES: the moment lies within some
/// 28,000 years of 1970. Thread-safe; the last answer is kept per thread, since rows of a batch are near each other.
int64_t TimeZoneOffsetAt(const date::time_zone* zone, int64_t us);
/// A wall-clock time of a zone (null: UTC) as a moment, both in microseconds: the earlier one when the clock was put
/// back, the change itself when it skips.
int64_t TimeOfZoneClock(const date::time_zone* zone, int64_t local_us);

}  // namespace freshet
