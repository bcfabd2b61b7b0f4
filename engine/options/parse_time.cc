#include "engine/options/parse_time.h"

#include <string>

namespace freshet {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool Digits(int count, int64_t* value) {
    *value = 0;
    for (int i = 0; i < count; ++i) {
      if (rest_.empty() || rest_[0] < '0' || rest_[0] > '9') return false;
      *value = *value * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    return true;
  }
  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool IsLeap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int64_t DaysInMonth(int64_t year, int64_t month) {
  constexpr int64_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

/// Day number since 1970-01-01 of a Gregorian date.
int64_t DayNumber(int64_t year, int64_t month, int64_t day) {
  const auto leaps_before = [](int64_t y) { return (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400; };
  int64_t days = (year - 1970) * 365 + leaps_before(year) - leaps_before(1970) + day - 1;
  for (int64_t m = 1; m < month; ++m) days += DaysInMonth(year, m);
  return days;
}

struct Moment {
  int64_t year = 0, month = 0, day = 0;
  int64_t hour = 0, minute = 0, second = 0, micros = 0, offset_minutes = 0;
};

bool ReadClock(Reader& in, Moment* m) {
  if (!in.Digits(2, &m->hour) || !in.Take(':') || !in.Digits(2, &m->minute)) return false;
  if (!in.Take(':')) return true;
  if (!in.Digits(2, &m->second)) return false;
  if (!in.Take('.')) return true;
  int64_t digit = 0;
  if (!in.Digits(1, &digit)) return false;
  for (int64_t unit = 100000;; unit /= 10) {
    m->micros += digit * unit;
    if (!in.Digits(1, &digit)) return true;
  }
}

bool ReadZone(Reader& in, Moment* m) {
  if (in.AtEnd() || in.Take('Z') || in.Take('z')) return true;
  const bool minus = in.Take('-');
  int64_t hours = 0, minutes = 0;
  if (!minus && !in.Take('+')) return false;
  if (!in.Digits(2, &hours)) return false;
  in.Take(':');
  if (!in.Digits(2, &minutes) || hours > 23 || minutes > 59) return false;
  m->offset_minutes = (hours * 60 + minutes) * (minus ? -1 : 1);
  return true;
}

}  // namespace

Result<EventTime> ParseTimeText(std::string_view text) {
  const auto bad = [&] {
    return Status::InvalidArgument("`" + std::string(text) +
                                   "` is not a time; write 2024-05-01 or 2024-05-01T12:30:00Z");
  };
  Reader in(text);
  Moment m;
  if (!in.Digits(4, &m.year) || !in.Take('-') || !in.Digits(2, &m.month) || !in.Take('-') || !in.Digits(2, &m.day))
    return bad();
  if (!in.AtEnd()) {
    if (!in.Take('T') && !in.Take('t') && !in.Take(' ')) return bad();
    if (!ReadClock(in, &m) || !ReadZone(in, &m) || !in.AtEnd()) return bad();
  }
  if (m.year < 1 || m.month < 1 || m.month > 12 || m.day < 1 || m.day > DaysInMonth(m.year, m.month)) return bad();
  if (m.hour > 23 || m.minute > 59 || m.second > 60) return bad();
  const int64_t seconds =
      DayNumber(m.year, m.month, m.day) * 86400 + m.hour * 3600 + (m.minute - m.offset_minutes) * 60 + m.second;
  return EventTime{seconds * 1000000 + m.micros};
}

}  // namespace freshet
