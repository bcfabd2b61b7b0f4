#pragma once

#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

/// Parses `10s`, `5m`, `1h`, `1d`, `250ms`, `50us`, `1h30m`, `1w`; a bare `0` is zero. Negative and fractional values
/// of one unit (`1.5h`) are read; anything else says what a duration looks like.
Result<Duration> ParseDuration(std::string_view text);
/// The shortest form that reads back: "1h30m", "250ms", "0s".
std::string FormatDuration(Duration duration);

/// Parses `64KiB`, `8MiB`, `1GiB`, `1500`, `10kB`, `2MB` into bytes.
Result<int64_t> ParseSize(std::string_view text);
/// "64 MiB", "1.5 GiB", "159 B": for people.
std::string FormatSize(int64_t bytes);

/// "39,244"
std::string FormatCount(int64_t count);
/// RFC 3339 in UTC with as many fraction digits as are needed (0, 3 or 6): "2015-09-12T00:46:58.771Z".
std::string FormatTime(EventTime time);

/// The candidate nearest to `word` by edit distance, or empty if none is near enough to be meant.
std::string NearestName(std::string_view word, const std::string* candidates, size_t count);

}  // namespace freshet
