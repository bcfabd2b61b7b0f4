#include "connectors/format/timestamp_parser.h"

// At -O3 GCC 12 does not see that date's reader only uses what it has read; it says so at the end of the file.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <date/date.h>
#include <date/tz.h>
#include <fast_float/fast_float.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <locale>
#include <sstream>

namespace freshet {
namespace {

using Micros = std::chrono::microseconds;
constexpr int64_t kMicrosPerDay = int64_t{86400} * 1000000;

bool Digits(const char* p, int count, int* value) {
  int v = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned digit = static_cast<unsigned char>(p[i]) - unsigned{'0'};
    if (digit > 9) return false;
    v = v * 10 + static_cast<int>(digit);
  }
  *value = v;
  return true;
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
int64_t DaysFromCivil(int year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int era = (year >= 0 ? year : year - 399) / 400;
  const int year_of_era = year - era * 400;
  const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return int64_t{era} * 146097 + day_of_era - 719468;
}

int DaysInMonth(int year, int month) {
  if (month != 2) return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
}

/// Whether a strptime pattern names the year (by itself or inside a date directive).
bool HasYear(const std::string& pattern) {
  for (size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '%') continue;
    if (pattern[i + 1] == 'E' || pattern[i + 1] == 'O') ++i;
    if (i + 1 < pattern.size() && std::strchr("YyFDGgcsx", pattern[i + 1]) != nullptr) return true;
    ++i;
  }
  return false;
}

}  // namespace

struct TimestampParser::Zone {
  const date::time_zone* zone = nullptr;
};

Result<TimestampParser> TimestampParser::Make(const std::string& pattern, const std::string& zone) {
  TimestampParser parser;
  if (pattern == "epoch_s")
    parser.kind_ = Kind::kSeconds;
  else if (pattern == "epoch_ms")
    parser.kind_ = Kind::kMillis;
  else if (pattern == "epoch_us")
    parser.kind_ = Kind::kMicros;
  else if (pattern == "epoch_ns")
    parser.kind_ = Kind::kNanos;
  else if (!pattern.empty()) {
    if (pattern.find('%') == std::string::npos)
      return Status::InvalidArgument("`" + pattern +
                                     "` is neither a strptime pattern nor epoch_s, epoch_ms, epoch_us or epoch_ns");
    parser.kind_ = Kind::kPattern;
    parser.pattern_ = pattern;
    parser.pattern_has_offset_ = pattern.find("%z") != std::string::npos || pattern.find("%Ez") != std::string::npos;
    if (!HasYear(pattern))
      return Status::InvalidArgument("the pattern `" + pattern +
                                     "` has no year: read the column as string and build the time in `time.field`");
  }
  if (!zone.empty() && zone != "UTC") {
    try {
      parser.zone_ = std::make_shared<Zone>(Zone{date::locate_zone(zone)});
    } catch (const std::exception&) {
      return Status::InvalidArgument("there is no time zone `" + zone +
                                     "` here; write an IANA name such as Europe/Berlin");
    }
  }
  return parser;
}

int64_t TimestampParser::ToUtc(int64_t local_us) const {
  if (!zone_) return local_us;
  const date::local_time<Micros> local{Micros{local_us}};
  return zone_->zone->to_sys(local, date::choose::earliest).time_since_epoch().count();
}

std::optional<int64_t> TimestampParser::ParseDouble(double epoch) const {
  Kind kind = kind_;
  if (kind == Kind::kAuto) {
    const double size = std::fabs(epoch);
    kind = size < 1e11 ? Kind::kSeconds : size < 1e14 ? Kind::kMillis : size < 1e17 ? Kind::kMicros : Kind::kNanos;
  }
  double us = 0;
  switch (kind) {
    case Kind::kSeconds:
      us = epoch * 1e6;
      break;
    case Kind::kMillis:
      us = epoch * 1e3;
      break;
    case Kind::kMicros:
      us = epoch;
      break;
    case Kind::kNanos:
      us = epoch / 1e3;
      break;
    default:
      return std::nullopt;
  }
  if (!(std::fabs(us) < 9.2e18)) return std::nullopt;
  return std::llround(us);
}

std::optional<int64_t> TimestampParser::ParseText(std::string_view text) const {
  if (kind_ == Kind::kPattern) return ParsePattern(text);
  if (kind_ == Kind::kAuto) {
    if (text.size() >= 10 && text[4] == '-') return ParseRfc3339(text);
  }
  int64_t integer = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || text.front() == '+') return std::nullopt;
  if (const auto r = std::from_chars(text.data(), end, integer); r.ec == std::errc() && r.ptr == end)
    return ParseInteger(integer);
  double number = 0;
  const char first = text.front() == '-' && text.size() > 1 ? text[1] : text.front();
  if (first < '0' || first > '9') return std::nullopt;  // fast_float would take "nan" and "inf"
  if (const auto r = fast_float::from_chars(text.data(), end, number); r.ec == std::errc() && r.ptr == end)
    return ParseDouble(number);
  return std::nullopt;
}

std::optional<int64_t> TimestampParser::ParseRfc3339(std::string_view text) const {
  const char* p = text.data();
  const char* const end = p + text.size();
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!Digits(p, 4, &year) || !Digits(p + 5, 2, &month) || p[7] != '-' || !Digits(p + 8, 2, &day)) return std::nullopt;
  if (month < 1 || month > 12 || day < 1 || day > DaysInMonth(year, month)) return std::nullopt;
  const int64_t midnight = DaysFromCivil(year, month, day) * kMicrosPerDay;
  p += 10;
  if (p == end) return ToUtc(midnight);
  if (end - p < 6 || (*p != 'T' && *p != 't' && *p != ' ')) return std::nullopt;
  if (!Digits(p + 1, 2, &hour) || p[3] != ':' || !Digits(p + 4, 2, &minute)) return std::nullopt;
  p += 6;
  if (end - p >= 3 && *p == ':') {
    if (!Digits(p + 1, 2, &second)) return std::nullopt;
    p += 3;
  }
  if (hour > 23 || minute > 59 || second > 60) return std::nullopt;  // a leap second counts as the next minute's first
  int64_t fraction = 0;
  if (p < end && *p == '.') {
    int digits = 0;
    for (++p; p < end && *p >= '0' && *p <= '9'; ++p)
      if (++digits <= 6) fraction = fraction * 10 + (*p - '0');
    if (digits == 0 || digits > 9) return std::nullopt;
    for (; digits < 6; ++digits) fraction *= 10;
  }
  const int64_t local = midnight + ((hour * int64_t{60} + minute) * 60 + second) * 1000000 + fraction;
  if (p == end) return ToUtc(local);
  if ((*p == 'Z' || *p == 'z') && p + 1 == end) return local;
  if (*p != '+' && *p != '-') return std::nullopt;
  int offset_hour = 0, offset_minute = 0;
  const bool colon = end - p == 6 && p[3] == ':';
  if (!colon && end - p != 5 && end - p != 3) return std::nullopt;
  if (!Digits(p + 1, 2, &offset_hour)) return std::nullopt;
  if (end - p > 3 && !Digits(p + (colon ? 4 : 3), 2, &offset_minute)) return std::nullopt;
  if (offset_hour > 23 || offset_minute > 59) return std::nullopt;
  const int64_t offset = (offset_hour * int64_t{60} + offset_minute) * 60 * 1000000;
  return *p == '+' ? local - offset : local + offset;
}

std::optional<int64_t> TimestampParser::ParsePattern(std::string_view text) const {
  std::istringstream in{std::string(text)};
  in.imbue(std::locale::classic());
  int64_t us = 0;
  if (pattern_has_offset_) {
    date::sys_time<Micros> time;
    date::from_stream(in, pattern_.c_str(), time);
    us = time.time_since_epoch().count();
  } else {
    date::local_time<Micros> time;
    date::from_stream(in, pattern_.c_str(), time);
    us = time.time_since_epoch().count();
  }
  if (in.fail()) return std::nullopt;
  if (in.peek() != std::istringstream::traits_type::eof()) return std::nullopt;
  return pattern_has_offset_ ? us : ToUtc(us);
}

}  // namespace freshet
