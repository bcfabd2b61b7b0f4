#include "engine/expr/timestamp_text.h"

#include <date/date.h>

namespace freshet::expr_internal {
namespace {

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool Digits(int count, int64_t* value) {
    if (text_.size() < static_cast<size_t>(count)) return false;
    *value = 0;
    for (int i = 0; i < count; ++i) {
      const char c = text_[static_cast<size_t>(i)];
      if (c < '0' || c > '9') return false;
      *value = *value * 10 + (c - '0');
    }
    text_.remove_prefix(static_cast<size_t>(count));
    return true;
  }
  bool Take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool AtDigit() const { return !text_.empty() && text_[0] >= '0' && text_[0] <= '9'; }
  bool empty() const { return text_.empty(); }

 private:
  std::string_view text_;
};

bool TakeFraction(Cursor& in, int64_t* us) {
  *us = 0;
  if (!in.AtDigit()) return false;
  int64_t scale = 100000;
  for (int64_t digit = 0; in.AtDigit(); scale /= 10) {
    if (!in.Digits(1, &digit)) return false;
    *us += digit * scale;
  }
  return true;
}

bool TakeZone(Cursor& in, int64_t* offset_seconds) {
  *offset_seconds = 0;
  if (in.Take('Z') || in.Take('z') || in.empty()) return true;
  const bool minus = in.Take('-');
  if (!minus && !in.Take('+')) return false;
  int64_t hours = 0;
  int64_t minutes = 0;
  if (!in.Digits(2, &hours) || hours > 23) return false;
  in.Take(':');
  if (!in.empty() && (!in.Digits(2, &minutes) || minutes > 59)) return false;
  *offset_seconds = (hours * 60 + minutes) * (minus ? -60 : 60);
  return true;
}

}  // namespace

int64_t DaysFromCivil(int64_t year, int month, int day) {
  const date::year_month_day first{date::year{static_cast<int>(year)}, date::month{static_cast<unsigned>(month)},
                                   date::day{1}};
  return date::sys_days{first}.time_since_epoch().count() + day - 1;
}

int DaysInMonth(int64_t year, int month) {
  const date::year_month_day_last last{date::year{static_cast<int>(year)},
                                       date::month_day_last{date::month{static_cast<unsigned>(month)}}};
  return static_cast<int>(static_cast<unsigned>(last.day()));
}

bool ParseTimestamp(std::string_view text, int64_t* us) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  Cursor in(text);
  int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, fraction = 0, offset = 0;
  if (!in.Digits(4, &year) || !in.Take('-') || !in.Digits(2, &month) || !in.Take('-') || !in.Digits(2, &day))
    return false;
  if (month < 1 || month > 12 || day < 1 || day > DaysInMonth(year, static_cast<int>(month))) return false;
  if (!in.empty()) {
    if (!in.Take('T') && !in.Take('t') && !in.Take(' ')) return false;
    if (!in.Digits(2, &hour) || !in.Take(':') || !in.Digits(2, &minute)) return false;
    if (in.Take(':')) {
      if (!in.Digits(2, &second)) return false;
      if (in.Take('.') && !TakeFraction(in, &fraction)) return false;
    }
    in.Take(' ');
    if (hour > 23 || minute > 59 || second > 60 || !TakeZone(in, &offset) || !in.empty()) return false;
  }
  const int64_t days = DaysFromCivil(year, static_cast<int>(month), static_cast<int>(day));
  *us = (((days * 24 + hour) * 60 + minute) * 60 + second - offset) * 1000000 + fraction;
  return true;
}

}  // namespace freshet::expr_internal
