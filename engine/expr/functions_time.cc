// GCC 12 takes a local of date's parser for uninitialised once it is inlined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <date/date.h>
#include <date/tz.h>

#include <cmath>
#include <istream>
#include <sstream>
#include <streambuf>

#include "engine/base/units.h"
#include "engine/expr/lexer.h"
#include "engine/expr/row_kernel.h"
#include "engine/expr/time_zone.h"
#include "engine/expr/timestamp_text.h"

namespace freshet::expr_internal {
namespace {

using View = std::string_view;
using std::chrono::microseconds;
using LocalMicros = date::local_time<microseconds>;
using SysMicros = date::sys_time<microseconds>;

constexpr int64_t kSecond = 1000000;
constexpr int64_t kDay = 86400 * kSecond;
/// The calendar library's years are 16 bits wide: about 28,000 years either way stay well inside.
constexpr int64_t kCalendarMax = 900000000000000000;

enum class Unit : uint8_t {
  kMicrosecond,
  kMillisecond,
  kSecond,
  kMinute,
  kHour,
  kDay,
  kWeek,
  kMonth,
  kQuarter,
  kYear,
  kDow,
  kIsodow,
  kDoy,
  kEpoch
};
struct UnitName {
  const char* name;
  Unit unit;
  bool truncates;
};
constexpr UnitName kUnits[] = {{"microsecond", Unit::kMicrosecond, true},
                               {"millisecond", Unit::kMillisecond, true},
                               {"second", Unit::kSecond, true},
                               {"minute", Unit::kMinute, true},
                               {"hour", Unit::kHour, true},
                               {"day", Unit::kDay, true},
                               {"week", Unit::kWeek, true},
                               {"month", Unit::kMonth, true},
                               {"quarter", Unit::kQuarter, true},
                               {"year", Unit::kYear, true},
                               {"dow", Unit::kDow, false},
                               {"isodow", Unit::kIsodow, false},
                               {"doy", Unit::kDoy, false},
                               {"epoch", Unit::kEpoch, false}};

/// The constant arguments of a time function.
struct TimeSpec {
  Unit unit = Unit::kSecond;
  const date::time_zone* zone = nullptr;  ///< null: UTC
};

int64_t FloorDivide(int64_t x, int64_t y) { return x / y - (x % y != 0 && (x ^ y) < 0 ? 1 : 0); }

const date::time_zone* FindZone(const EvalRef& arg, size_t index, PrepareProblem* problem) {
  const Value* value = arg->constant();
  if (value == nullptr || value->null) {
    *problem = {index, "FR3015", "the time zone must be a constant", "such as 'Europe/Berlin'"};
    return nullptr;
  }
  const date::time_zone* zone = FindTimeZone(value->text);
  if (zone == nullptr)
    *problem = {index, "FR3015", "there is no time zone '" + value->text + "'",
                "names are those of the IANA database, such as 'Europe/Berlin' or 'UTC'"};
  return zone;
}

bool FindUnit(const EvalRef& arg, bool truncate, Unit* unit, PrepareProblem* problem) {
  const Value* value = arg->constant();
  std::vector<std::string> names;
  if (value != nullptr && !value->null) {
    std::string word = Lower(value->text);
    for (const UnitName& u : kUnits) {
      if (truncate && !u.truncates) continue;
      if (word == u.name || word == std::string(u.name) + "s") return *unit = u.unit, true;
      names.push_back(u.name);
    }
    const std::string nearest = NearestName(word, names.data(), names.size());
    *problem = {0, "FR3015", "there is no time unit '" + value->text + "'",
                nearest.empty() ? "units are second, minute, hour, day, week, month, quarter, year"
                                : "did you mean '" + nearest + "'?"};
    return false;
  }
  *problem = {0, "FR3015", "the time unit must be a constant", "such as 'hour'"};
  return false;
}

/// (unit, t[, zone]) with `kTruncate` for date_trunc.
template <bool kTruncate>
std::shared_ptr<const void> PrepareUnit(std::span<const EvalRef> args, PrepareProblem* problem) {
  auto spec = std::make_shared<TimeSpec>();
  if (!FindUnit(args[0], kTruncate, &spec->unit, problem)) return nullptr;
  if (args.size() > 2) spec->zone = FindZone(args[2], 2, problem);
  return spec;
}

/// The zone is the last argument.
std::shared_ptr<const void> PrepareZone(std::span<const EvalRef> args, PrepareProblem* problem) {
  auto spec = std::make_shared<TimeSpec>();
  spec->zone = FindZone(args.back(), args.size() - 1, problem);
  return spec;
}

bool InCalendar(int64_t us) { return us > -kCalendarMax && us < kCalendarMax; }

int64_t PartOf(Unit unit, int64_t local) {
  const int64_t days = FloorDivide(local, kDay);
  const int64_t in_day = local - days * kDay;
  switch (unit) {
    case Unit::kMicrosecond:
      return in_day % (60 * kSecond);
    case Unit::kMillisecond:
      return in_day % (60 * kSecond) / 1000;
    case Unit::kSecond:
      return in_day / kSecond % 60;
    case Unit::kMinute:
      return in_day / (60 * kSecond) % 60;
    case Unit::kHour:
      return in_day / (3600 * kSecond);
    default:
      break;
  }
  const date::sys_days day{date::days(days)};
  const date::year_month_day ymd(day);
  const auto month = static_cast<int>(static_cast<unsigned>(ymd.month()));
  switch (unit) {
    case Unit::kDay:
      return static_cast<unsigned>(ymd.day());
    case Unit::kMonth:
      return month;
    case Unit::kQuarter:
      return (month - 1) / 3 + 1;
    case Unit::kYear:
      return static_cast<int>(ymd.year());
    case Unit::kDow:
      return date::weekday(day).c_encoding();
    case Unit::kIsodow:
      return date::weekday(day).iso_encoding();
    case Unit::kDoy:
      return days - DaysFromCivil(static_cast<int>(ymd.year()), 1, 1) + 1;
    case Unit::kWeek: {
      // The ISO week is that of its Thursday.
      const int64_t thursday = days + 4 - static_cast<int64_t>(date::weekday(day).iso_encoding());
      const date::year_month_day middle{date::sys_days{date::days(thursday)}};
      return (thursday - DaysFromCivil(static_cast<int>(middle.year()), 1, 1)) / 7 + 1;
    }
    default:
      return FloorDivide(local, kSecond);
  }
}

const TimeSpec& SpecOf(const RowState& state) {
  static const TimeSpec kUtc;
  return state.prepared != nullptr ? *static_cast<const TimeSpec*>(state.prepared) : kUtc;
}

Outcome DatePart(RowState& state, int64_t& out, View, int64_t t) {
  if (!InCalendar(t)) return Outcome::kFailed;
  const TimeSpec& spec = SpecOf(state);
  out = PartOf(spec.unit, spec.unit == Unit::kEpoch ? t : t + TimeZoneOffsetAt(spec.zone, t));
  return Outcome::kValue;
}
Outcome DatePartZone(RowState& state, int64_t& out, View unit, int64_t t, View) {
  return DatePart(state, out, unit, t);
}

template <Unit kUnit>
Outcome Part(RowState& state, int64_t& out, int64_t t) {
  if (!InCalendar(t)) return Outcome::kFailed;
  out = PartOf(kUnit, t + TimeZoneOffsetAt(SpecOf(state).zone, t));
  return Outcome::kValue;
}
template <Unit kUnit>
Outcome PartZone(RowState& state, int64_t& out, int64_t t, View) {
  return Part<kUnit>(state, out, t);
}

Outcome DateTrunc(RowState& state, int64_t& out, View, int64_t t) {
  if (!InCalendar(t)) return Outcome::kFailed;
  const TimeSpec& spec = SpecOf(state);
  const int64_t offset = TimeZoneOffsetAt(spec.zone, t);
  const int64_t local = t + offset;
  const auto floor_to = [local](int64_t unit) { return FloorDivide(local, unit) * unit; };
  const int64_t days = FloorDivide(local, kDay);
  const date::year_month_day ymd{date::sys_days{date::days(days)}};
  const int year = static_cast<int>(ymd.year());
  const int month = static_cast<int>(static_cast<unsigned>(ymd.month()));
  int64_t first_day = days;
  switch (spec.unit) {
    case Unit::kMicrosecond:
      return out = t, Outcome::kValue;
    case Unit::kMillisecond:
      return out = floor_to(1000) - offset, Outcome::kValue;
    case Unit::kSecond:
      return out = floor_to(kSecond) - offset, Outcome::kValue;
    case Unit::kMinute:
      return out = floor_to(60 * kSecond) - offset, Outcome::kValue;
    case Unit::kHour:
      return out = floor_to(3600 * kSecond) - offset, Outcome::kValue;
    case Unit::kWeek:
      first_day = FloorDivide(days + 3, 7) * 7 - 3;
      break;
    case Unit::kMonth:
      first_day = DaysFromCivil(year, month, 1);
      break;
    case Unit::kQuarter:
      first_day = DaysFromCivil(year, (month - 1) / 3 * 3 + 1, 1);
      break;
    case Unit::kYear:
      first_day = DaysFromCivil(year, 1, 1);
      break;
    default:
      break;
  }
  out = TimeOfZoneClock(spec.zone, first_day * kDay);
  return Outcome::kValue;
}
Outcome DateTruncZone(RowState& state, int64_t& out, View unit, int64_t t, View) {
  return DateTrunc(state, out, unit, t);
}

Outcome Epoch(RowState&, double& out, int64_t t) { return out = static_cast<double>(t) / 1e6, Outcome::kValue; }
Outcome EpochMs(RowState&, int64_t& out, int64_t t) { return out = FloorDivide(t, 1000), Outcome::kValue; }
Outcome EpochUs(RowState&, int64_t& out, int64_t t) { return out = t, Outcome::kValue; }
Outcome FromSeconds(RowState&, int64_t& out, int64_t x) {
  return __builtin_mul_overflow(x, kSecond, &out) ? Outcome::kFailed : Outcome::kValue;
}
Outcome FromSecondsFloat(RowState&, int64_t& out, double x) {
  const double us = std::nearbyint(x * 1e6);
  if (!(std::fabs(us) < 9.2e18)) return Outcome::kFailed;
  out = static_cast<int64_t>(us);
  return Outcome::kValue;
}
Outcome Age(RowState&, double& out, int64_t a, int64_t b) {
  int64_t us = 0;
  if (__builtin_sub_overflow(a, b, &us)) return Outcome::kFailed;
  return out = static_cast<double>(us) / 1e6, Outcome::kValue;
}

Outcome MakeTimestamp(RowState&, int64_t& out, int64_t y, int64_t mo, int64_t d, int64_t h, int64_t mi, double s) {
  if (y < -9999 || y > 9999 || mo < 1 || mo > 12 || d < 1 || d > DaysInMonth(y, static_cast<int>(mo)) || h < 0 ||
      h > 23 || mi < 0 || mi > 59 || !(s >= 0 && s < 60))
    return Outcome::kFailed;
  const int64_t days = DaysFromCivil(y, static_cast<int>(mo), static_cast<int>(d));
  out = ((days * 24 + h) * 60 + mi) * 60 * kSecond + static_cast<int64_t>(std::nearbyint(s * 1e6));
  return Outcome::kValue;
}

/// Streams over views, made once per thread: their locale is what costs.
class ViewBuffer : public std::streambuf {
 public:
  void Reset(View text) {
    char* begin = const_cast<char*>(text.data());  // only read from
    setg(begin, begin, begin + text.size());
  }
};

Outcome ParseLocal(View text, View pattern, int64_t* local_us, int64_t* offset_us, bool* has_offset) {
  thread_local ViewBuffer buffer;
  thread_local std::istream in(&buffer);
  in.imbue(std::locale::classic());
  buffer.Reset(text);
  in.clear();
  LocalMicros time{};
  std::string zone_name;
  std::chrono::minutes offset(0);
  date::from_stream(in, std::string(pattern).c_str(), time, &zone_name, &offset);
  if (in.fail()) return Outcome::kFailed;
  in >> std::ws;
  if (!in.eof()) return Outcome::kFailed;
  *local_us = time.time_since_epoch().count();
  *has_offset = pattern.find("%z") != View::npos || pattern.find("%Ez") != View::npos;
  *offset_us = *has_offset ? offset.count() * 60 * kSecond : 0;
  return Outcome::kValue;
}

Outcome Strptime(RowState& state, int64_t& out, View text, View pattern) {
  int64_t local = 0;
  int64_t offset = 0;
  bool has_offset = false;
  if (ParseLocal(text, pattern, &local, &offset, &has_offset) != Outcome::kValue) return Outcome::kFailed;
  out = has_offset ? local - offset : TimeOfZoneClock(SpecOf(state).zone, local);
  return Outcome::kValue;
}
Outcome StrptimeZone(RowState& state, int64_t& out, View text, View pattern, View) {
  return Strptime(state, out, text, pattern);
}

bool Format(View pattern, const date::time_zone* zone, int64_t us, std::string* text) {
  const int64_t offset = TimeZoneOffsetAt(zone, us);
  const int64_t local = us + offset;
  const int64_t seconds = FloorDivide(local, kSecond);
  std::string format(pattern);
  for (size_t at = format.find("%f"); at != std::string::npos; at = format.find("%f", at)) {
    const std::string digits = std::to_string(kSecond + local - seconds * kSecond).substr(1);
    format.replace(at, 2, digits);
  }
  thread_local std::ostringstream out;
  out.imbue(std::locale::classic());
  out.clear();
  out.str({});
  const std::string abbreviation =
      zone == nullptr ? "UTC"
                      : zone->get_info(date::sys_seconds(std::chrono::seconds(FloorDivide(us, kSecond)))).abbrev;
  const std::chrono::seconds shift(offset / kSecond);
  date::to_stream(out, format.c_str(), date::local_seconds(std::chrono::seconds(seconds)), &abbreviation, &shift);
  *text = out.str();
  return !out.fail();
}

Outcome Strftime(RowState& state, View& out, int64_t t, View pattern) {
  std::string text;
  if (!InCalendar(t) || !Format(pattern, SpecOf(state).zone, t, &text)) return Outcome::kFailed;
  out = state.out->Keep(text);
  return Outcome::kValue;
}
Outcome StrftimeZone(RowState& state, View& out, int64_t t, View pattern, View) {
  return Strftime(state, out, t, pattern);
}

/// (x, pattern[, zone]): a constant pattern must at least be able to format some moment.
std::shared_ptr<const void> PrepareFormat(std::span<const EvalRef> args, PrepareProblem* problem) {
  auto spec = std::make_shared<TimeSpec>();
  const Value* pattern = args[1]->constant();
  std::string text;
  if (pattern != nullptr && !pattern->null &&
      (pattern->text.find('%') == std::string::npos || !Format(pattern->text, nullptr, 0, &text))) {
    *problem = {1, "FR3014", "'" + pattern->text + "' is not a time pattern", "such as '%Y-%m-%d %H:%M:%S'"};
    return nullptr;
  }
  if (args.size() > 2) spec->zone = FindZone(args[2], 2, problem);
  return spec;
}

constexpr Kind kInt = Kind::kInt64;
constexpr Kind kTime = Kind::kTimestamp;

#define FRESHET_PART(NAME, UNIT, DOC)                                                                     \
  {NAME, "t", kInt, &RowKernel<Part<UNIT>>::Run, nullptr, NAME "(timestamp) -> int64", DOC ", in UTC"}, { \
    NAME, "ts", kInt, &RowKernel<PartZone<UNIT>>::Run, &PrepareZone, NAME "(timestamp, zone) -> int64",   \
        DOC ", in a time zone"                                                                            \
  }

constexpr Function kFunctions[] = {
    {"date_trunc", "st", kTime, &RowKernel<DateTrunc>::Run, &PrepareUnit<true>,
     "date_trunc(unit, timestamp) -> timestamp",
     "the start of its second, minute, hour, day, week (Monday), month, quarter or year"},
    {"date_trunc", "sts", kTime, &RowKernel<DateTruncZone>::Run, &PrepareUnit<true>,
     "date_trunc(unit, timestamp, zone) -> timestamp", "the same by the clock of a time zone"},
    {"extract", "st", kInt, &RowKernel<DatePart>::Run, &PrepareUnit<false>, "extract(unit from timestamp) -> int64",
     "second, minute, hour, day, dow (Sunday 0), isodow (Monday 1), doy, week (ISO), month, quarter, year, epoch"},
    {"date_part", "st", kInt, &RowKernel<DatePart>::Run, &PrepareUnit<false>, "date_part(unit, timestamp) -> int64",
     "as extract"},
    {"date_part", "sts", kInt, &RowKernel<DatePartZone>::Run, &PrepareUnit<false>,
     "date_part(unit, timestamp, zone) -> int64", "as extract, in a time zone"},
    FRESHET_PART("second", Unit::kSecond, "the second, 0 to 59"),
    FRESHET_PART("minute", Unit::kMinute, "the minute, 0 to 59"),
    FRESHET_PART("hour", Unit::kHour, "the hour, 0 to 23"),
    FRESHET_PART("day", Unit::kDay, "the day of the month"),
    FRESHET_PART("dow", Unit::kDow, "the day of the week, Sunday 0"),
    FRESHET_PART("isodow", Unit::kIsodow, "the day of the week, Monday 1"),
    FRESHET_PART("doy", Unit::kDoy, "the day of the year"),
    FRESHET_PART("week", Unit::kWeek, "the ISO week"),
    FRESHET_PART("month", Unit::kMonth, "the month"),
    FRESHET_PART("quarter", Unit::kQuarter, "the quarter"),
    FRESHET_PART("year", Unit::kYear, "the year"),
    {"epoch", "t", Kind::kFloat64, &RowKernel<Epoch>::Run, nullptr, "epoch(timestamp) -> float64",
     "seconds since 1970 UTC"},
    {"epoch_ms", "t", kInt, &RowKernel<EpochMs>::Run, nullptr, "epoch_ms(timestamp) -> int64",
     "milliseconds since 1970 UTC"},
    {"epoch_us", "t", kInt, &RowKernel<EpochUs>::Run, nullptr, "epoch_us(timestamp) -> int64",
     "microseconds since 1970 UTC"},
    {"to_timestamp", "i", kTime, &RowKernel<FromSeconds>::Run, nullptr, "to_timestamp(int64) -> timestamp",
     "from seconds since 1970 UTC"},
    {"to_timestamp", "f", kTime, &RowKernel<FromSecondsFloat>::Run, nullptr, "to_timestamp(float64) -> timestamp",
     "from seconds since 1970 UTC, to the microsecond"},
    {"seconds", "f", Kind::kDuration, &RowKernel<FromSecondsFloat>::Run, nullptr, "seconds(float64) -> duration",
     "a duration to add to a timestamp"},
    {"age", "tt", Kind::kFloat64, &RowKernel<Age>::Run, nullptr, "age(later, earlier) -> float64",
     "seconds between two timestamps, as later - earlier"},
    {"make_timestamp", "iiiiif", kTime, &RowKernel<MakeTimestamp>::Run, nullptr,
     "make_timestamp(year, month, day, hour, minute, second) -> timestamp", "in UTC; null if there is no such time"},
    {"strptime", "ss", kTime, &RowKernel<Strptime>::Run, &PrepareFormat, "strptime(string, pattern) -> timestamp",
     "reads a time by a pattern such as '%d/%m/%Y %H:%M:%S'; UTC unless it has %z; null where it does not match"},
    {"strptime", "sss", kTime, &RowKernel<StrptimeZone>::Run, &PrepareFormat,
     "strptime(string, pattern, zone) -> timestamp", "the same by the clock of a time zone"},
    {"strftime", "ts", Kind::kString, &RowKernel<Strftime>::Run, &PrepareFormat,
     "strftime(timestamp, pattern) -> string", "writes a time by a pattern, in UTC; %f is the microseconds"},
    {"strftime", "tss", Kind::kString, &RowKernel<StrftimeZone>::Run, &PrepareFormat,
     "strftime(timestamp, pattern, zone) -> string", "the same by the clock of a time zone"},
};
#undef FRESHET_PART

}  // namespace

std::span<const Function> TimeFunctions() { return kFunctions; }

}  // namespace freshet::expr_internal
