#pragma once

#include <cstdint>
#include <string_view>

namespace freshet::expr_internal {

/// Reads RFC 3339 ("2015-09-12T00:46:58.771Z", "2015-09-12 02:46:58+02:00"), without a zone (UTC), without seconds, or
/// a date alone. Digits beyond microseconds are cut. False if it is anything else or not a real date.
bool ParseTimestamp(std::string_view text, int64_t* us);

/// Days since 1970-01-01 of a proleptic Gregorian date. REQUIRES: a valid month.
int64_t DaysFromCivil(int64_t year, int month, int day);
int DaysInMonth(int64_t year, int month);

}  // namespace freshet::expr_internal
