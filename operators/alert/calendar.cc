#include "operators/alert/calendar.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "engine/expr/time_zone.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;
constexpr int64_t kDayUs = 24 * 60 * kMinuteUs;
/// Windows that follow each other without a gap for longer than this never end.
constexpr int64_t kForeverUs = 400 * kDayUs;
constexpr int64_t kFarDays = 25'000 * 365LL;
constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

int64_t FloorDivide(int64_t x, int64_t y) { return x / y - (x % y < 0 ? 1 : 0); }

std::vector<std::string_view> Split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (size_t from = 0; from <= text.size();) {
    const size_t to = std::min(text.find(by, from), text.size());
    parts.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return parts;
}

int DayOf(std::string_view name) {
  for (size_t d = 0; d < kDays.size(); ++d)
    if (name == kDays[d]) return static_cast<int>(d);
  return -1;
}

/// "mon-fri,sun" as bits; 0 if it is no list of days.
uint8_t DaysOf(std::string_view text) {
  if (text == "daily") return 127;
  unsigned days = 0;
  for (const std::string_view part : Split(text, ',')) {
    const size_t dash = part.find('-');
    const int from = DayOf(part.substr(0, dash));
    const int to = dash == std::string_view::npos ? from : DayOf(part.substr(dash + 1));
    if (from < 0 || to < 0) return 0;
    for (int d = from;; d = (d + 1) % 7) {
      days |= 1U << d;
      if (d == to) break;
    }
  }
  return static_cast<uint8_t>(days);
}

/// "02:30" in microseconds since midnight, to 24:00; -1 for anything else.
int64_t HourOf(std::string_view text) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : 100; };
  if (text.size() != 5 || text[2] != ':') return -1;
  const int hours = 10 * digit(0) + digit(1), minutes = 10 * digit(3) + digit(4);
  if (minutes > 59 || hours * 60 + minutes > 24 * 60) return -1;
  return (hours * 60 + minutes) * kMinuteUs;
}

}  // namespace

std::optional<std::string> Calendar::ParseWeekly(std::string_view text, Window* window) {
  const std::vector<std::string_view> words = Split(text, ' ');
  const size_t dash = words.size() >= 2 ? words[1].find('-') : std::string_view::npos;
  if (words.size() < 2 || words.size() > 3 || dash == std::string_view::npos)
    return "it is neither `FROM to TO` nor `DAYS HH:MM-HH:MM [ZONE]`";
  window->weekly = true;
  window->days = DaysOf(words[0]);
  if (window->days == 0) return "days are `daily`, or mon, tue, … as in `mon-fri,sun`";
  window->from_us = HourOf(words[1].substr(0, dash));
  window->to_us = HourOf(words[1].substr(dash + 1));
  if (window->from_us < 0 || window->to_us < 0 || window->from_us == kDayUs)
    return "hours are written as in `02:00-04:30`, to 24:00 at most";
  if (words.size() == 2) return std::nullopt;
  window->zone = FindTimeZone(std::string(words[2]));
  if (window->zone == nullptr)
    return "there is no time zone `" + std::string(words[2]) +
           "`; names are those of the IANA database, such as `Europe/Berlin`";
  return std::nullopt;
}

std::optional<std::string> Calendar::Add(std::string_view text) {
  Window window;
  if (const size_t to = text.find(" to "); to != std::string_view::npos) {
    const Result<EventTime> begin = ParseTimeText(text.substr(0, to)), end = ParseTimeText(text.substr(to + 4));
    if (!begin.ok() || !end.ok()) return begin.ok() ? end.status().message() : begin.status().message();
    window.from_us = begin->us;
    window.to_us = end->us;
    if (window.to_us <= window.from_us) return "it ends before it begins";
  } else if (auto problem = ParseWeekly(text, &window)) {
    return problem;
  }
  windows_.push_back(window);
  return std::nullopt;
}

int64_t Calendar::EndOf(const Window& w, int64_t now_us) {
  if (!w.weekly) return w.from_us <= now_us && now_us < w.to_us ? w.to_us : now_us;
  int64_t end = now_us;
  const int64_t today = FloorDivide(now_us + TimeZoneOffsetAt(w.zone, now_us), kDayUs);
  for (const int64_t day : {today - 1, today}) {
    // 1970-01-01 was a Thursday.
    const int64_t weekday = ((day + 3) % 7 + 7) % 7;
    if ((w.days >> weekday & 1) == 0) continue;
    const int64_t from = TimeOfZoneClock(w.zone, day * kDayUs + w.from_us);
    const int64_t to = TimeOfZoneClock(w.zone, (w.to_us > w.from_us ? day : day + 1) * kDayUs + w.to_us);
    if (from <= now_us && now_us < to) end = std::max(end, to);
  }
  return end;
}

int64_t Calendar::QuietUntil(int64_t now_us) const {
  // Event times at the ends of the scale stand for "before" and "after everything": no window holds there.
  if (windows_.empty() || std::abs(now_us / kDayUs) > kFarDays) return now_us;
  int64_t until = now_us;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Window& window : windows_) {
      const int64_t end = EndOf(window, until);
      moved = moved || end > until;
      until = end;
    }
    if (until - now_us > kForeverUs) return INT64_MAX;
  }
  return until;
}

}  // namespace freshet
