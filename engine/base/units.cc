#include "engine/base/units.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace freshet {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};
constexpr Unit kDurationUnits[] = {{"us", 1},       {"µs", 1},           {"ms", 1000},         {"s", 1000000},
                                   {"m", 60000000}, {"h", 3600000000LL}, {"d", 86400000000LL}, {"w", 604800000000LL}};
constexpr Unit kSizeUnits[] = {{"", 1},          {"B", 1},           {"kB", 1000},     {"KB", 1000},
                               {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1 << 10}, {"MiB", 1 << 20},
                               {"GiB", 1 << 30}, {"TiB", 1LL << 40}};

template <size_t N>
const Unit* FindUnit(const Unit (&units)[N], std::string_view name) {
  for (const Unit& unit : units)
    if (unit.name == name) return &unit;
  return nullptr;
}

/// Cuts a leading decimal number off `text`; false if there is none.
bool TakeNumber(std::string_view& text, double* number) {
  size_t n = 0;
  bool digit = false;
  while (n < text.size() && ((text[n] >= '0' && text[n] <= '9') || text[n] == '.')) digit |= text[n++] != '.';
  if (!digit) return false;
  *number = std::strtod(std::string(text.substr(0, n)).c_str(), nullptr);
  text.remove_prefix(n);
  return true;
}

std::string_view TakeWord(std::string_view& text) {
  size_t n = 0;
  while (n < text.size() && !(text[n] >= '0' && text[n] <= '9') && text[n] != ' ') ++n;
  const std::string_view word = text.substr(0, n);
  text.remove_prefix(n);
  return word;
}

}  // namespace

Result<Duration> ParseDuration(std::string_view text) {
  const std::string original(text);
  const auto bad = [&] {
    return Status::InvalidArgument("`" + original +
                                   "` is not a duration; write a number and a unit, such as 250ms, 10s, 5m, 1h or 1d");
  };
  bool negative = false;
  if (!text.empty() && text[0] == '-') {
    negative = true;
    text.remove_prefix(1);
  }
  if (text == "0") return Duration{0};
  if (text.empty()) return bad();
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    if (!TakeNumber(text, &number)) return bad();
    const Unit* unit = FindUnit(kDurationUnits, TakeWord(text));
    if (unit == nullptr) return bad();
    total += number * static_cast<double>(unit->factor);
    if (total > 9.2e18)
      return Status::InvalidArgument("`" + original + "` is longer than a duration can be (292,000 years)");
  }
  const auto us = static_cast<int64_t>(total + 0.5);
  return Duration{negative ? -us : us};
}

std::string FormatDuration(Duration duration) {
  if (duration.us == 0) return "0s";
  std::string out;
  int64_t rest = duration.us;
  if (rest < 0) {
    out = "-";
    rest = rest == INT64_MIN ? INT64_MAX : -rest;
  }
  constexpr Unit kUnits[] = {{"d", 86400000000LL}, {"h", 3600000000LL}, {"m", 60000000},
                             {"s", 1000000},       {"ms", 1000},        {"us", 1}};
  for (const Unit& unit : kUnits) {
    if (rest < unit.factor) continue;
    out += std::to_string(rest / unit.factor);
    out += unit.name;
    rest %= unit.factor;
  }
  return out;
}

Result<int64_t> ParseSize(std::string_view text) {
  std::string_view rest = text;
  double number = 0;
  if (TakeNumber(rest, &number)) {
    while (!rest.empty() && rest[0] == ' ') rest.remove_prefix(1);
    const Unit* unit = FindUnit(kSizeUnits, rest);
    if (unit != nullptr && number * static_cast<double>(unit->factor) < 9.2e18)
      return static_cast<int64_t>(number * static_cast<double>(unit->factor));
  }
  return Status::InvalidArgument("`" + std::string(text) +
                                 "` is not a size; write bytes with a unit, such as 64KiB, 8MiB or 1GiB");
}

std::string FormatSize(int64_t bytes) {
  char text[48];
  const double b = static_cast<double>(bytes);
  if (bytes >= 1LL << 30)
    std::snprintf(text, sizeof text, "%.1f GiB", b / (1LL << 30));
  else if (bytes >= 1 << 20)
    std::snprintf(text, sizeof text, "%.1f MiB", b / (1 << 20));
  else if (bytes >= 1 << 10)
    std::snprintf(text, sizeof text, "%.1f KiB", b / (1 << 10));
  else
    std::snprintf(text, sizeof text, "%lld B", static_cast<long long>(bytes));
  return text;
}

std::string FormatCount(int64_t count) {
  std::string digits = std::to_string(count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string FormatTime(EventTime time) {
  if (time == EventTime::Min()) return "-infinity";
  if (time == EventTime::Max()) return "infinity";
  int64_t seconds = time.us / 1000000;
  int64_t fraction = time.us % 1000000;
  if (fraction < 0) {
    fraction += 1000000;
    --seconds;
  }
  int64_t days = seconds / 86400;
  int64_t second = seconds % 86400;
  if (second < 0) {
    second += 86400;
    --days;
  }
  // Civil date from a day number, after Howard Hinnant's "chrono-compatible low-level date algorithms".
  const int64_t z = days + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t day_of_era = z - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  char text[64];
  int n =
      std::snprintf(text, sizeof text, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld", static_cast<long long>(year),
                    static_cast<long long>(month), static_cast<long long>(day), static_cast<long long>(second / 3600),
                    static_cast<long long>(second / 60 % 60), static_cast<long long>(second % 60));
  if (fraction % 1000 != 0)
    n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), ".%06lld", static_cast<long long>(fraction));
  else if (fraction != 0)
    n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), ".%03lld",
                       static_cast<long long>(fraction / 1000));
  return std::string(text, static_cast<size_t>(n)) + "Z";
}

std::string NearestName(std::string_view word, const std::string* candidates, size_t count) {
  std::string best;
  size_t best_distance = word.size() / 3 + 2;
  for (size_t c = 0; c < count; ++c) {
    const std::string& name = candidates[c];
    // Restricted edit distance (insert, delete, replace, swap of neighbours), two rows back.
    std::vector<size_t> before(name.size() + 1), row(name.size() + 1), last(name.size() + 1);
    for (size_t j = 0; j <= name.size(); ++j) last[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      row[0] = i;
      for (size_t j = 1; j <= name.size(); ++j) {
        const size_t cost = word[i - 1] == name[j - 1] ? 0 : 1;
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + cost});
        if (i > 1 && j > 1 && word[i - 1] == name[j - 2] && word[i - 2] == name[j - 1])
          row[j] = std::min(row[j], before[j - 2] + 1);
      }
      std::swap(before, last);
      std::swap(last, row);
    }
    if (last[name.size()] < best_distance) {
      best_distance = last[name.size()];
      best = name;
    }
  }
  return best;
}

}  // namespace freshet
