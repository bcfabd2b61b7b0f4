// Maintenance windows, against a minute-by-minute reading of the same words.
#include "operators/alert/calendar.h"

#include <doctest/doctest.h>

#include "engine/options/parse_time.h"

namespace freshet::testing {
namespace {

constexpr int64_t kMinute = 60'000'000;

int64_t At(const char* text) {
  const auto time = ParseTimeText(text);
  REQUIRE_MESSAGE(time.ok(), text);
  return time->us;
}

Calendar Of(std::initializer_list<const char*> windows) {
  Calendar calendar;
  for (const char* window : windows) {
    const auto problem = calendar.Add(window);
    REQUIRE_MESSAGE(!problem, window << ": " << problem.value_or(""));
  }
  return calendar;
}

TEST_CASE("Calendar_Once_FromItsFirstMomentToBeforeItsLast") {
  const Calendar c = Of({"2026-11-01T02:00Z to 2026-11-01T04:00+01:00"});
  CHECK(c.QuietUntil(At("2026-11-01T01:59:59Z")) == At("2026-11-01T01:59:59Z"));
  CHECK(c.QuietUntil(At("2026-11-01T02:00Z")) == At("2026-11-01T03:00Z"));
  CHECK(c.QuietUntil(At("2026-11-01T03:00Z") - 1) == At("2026-11-01T03:00Z"));
  CHECK(c.QuietUntil(At("2026-11-01T03:00Z")) == At("2026-11-01T03:00Z"));
}

TEST_CASE("Calendar_Weekly_EveryMinuteOfThreeWeeksAsAPlainReading") {
  struct Case {
    const char* window;
    unsigned days;  // bit 0: Sunday, as strftime's %w
    int from, to;   // minutes; to > 1440: into the next day
  };
  for (const Case& w : {Case{"daily 02:00-02:30", 127, 120, 150}, Case{"mon-fri 22:00-06:00", 62, 1320, 1800},
                        Case{"sat,sun 00:00-24:00", 65, 0, 1440}, Case{"fri-mon 08:15-08:16", 99, 495, 496},
                        Case{"wed 12:00-12:00", 8, 720, 2160}}) {
    CAPTURE(w.window);
    const Calendar c = Of({w.window});
    const int64_t start = At("2026-02-22");  // a Sunday
    const auto holds = [&](int64_t minute) {
      for (const int64_t day : {minute / 1440, minute / 1440 - 1})
        if ((w.days >> ((day % 7 + 7) % 7) & 1) != 0 && minute >= day * 1440 + w.from && minute < day * 1440 + w.to)
          return true;
      return false;
    };
    int64_t quiet = 0;
    for (int64_t minute = 21 * 1440; minute >= 1440; --minute) {
      quiet = !holds(minute) ? minute : minute == 21 * 1440 ? -1 : quiet;
      if (quiet >= 0) REQUIRE(c.QuietUntil(start + minute * kMinute) == start + quiet * kMinute);
    }
  }
}

TEST_CASE("Calendar_Zone_HoursFollowItsClockThroughChanges") {
  const Calendar c = Of({"daily 01:00-05:00 Europe/Berlin"});
  CHECK(c.QuietUntil(At("2026-01-10T00:30Z")) == At("2026-01-10T04:00Z"));
  CHECK(c.QuietUntil(At("2026-07-10T00:30Z")) == At("2026-07-10T03:00Z"));
  // The clock goes from 02:00 to 03:00 on March 29 and from 03:00 back to 02:00 on October 25.
  CHECK(c.QuietUntil(At("2026-03-29T00:30Z")) == At("2026-03-29T03:00Z"));
  CHECK(c.QuietUntil(At("2026-10-24T23:30Z")) == At("2026-10-25T04:00Z"));
  const Calendar skipped = Of({"daily 02:30-03:30 Europe/Berlin"});
  CHECK(skipped.QuietUntil(At("2026-03-29T01:00Z")) == At("2026-03-29T01:30Z"));
}

TEST_CASE("Calendar_WindowsThatFollowEachOther_AreOne") {
  const Calendar c = Of({"mon 00:00-24:00", "tue 00:00-12:00", "2026-11-24T11:00Z to 2026-11-24T15:00Z"});
  CHECK(c.QuietUntil(At("2026-11-23T07:00Z")) == At("2026-11-24T15:00Z"));
  CHECK(Of({"daily 00:00-24:00"}).QuietUntil(At("2026-11-23")) == INT64_MAX);
  CHECK(Calendar().QuietUntil(7) == 7);
  CHECK(Of({"daily 00:00-24:00"}).QuietUntil(INT64_MIN) == INT64_MIN);
  CHECK(Of({"daily 00:00-12:00"}).QuietUntil(At("1969-07-20T06:00Z")) == At("1969-07-20T12:00Z"));
}

TEST_CASE("Calendar_WrongWords_AreExplained") {
  const auto problem = [](const char* text) {
    Calendar calendar;
    return calendar.Add(text).value_or("nothing");
  };
  CHECK(problem("tomorrow").find("neither") != std::string::npos);
  CHECK(problem("someday 02:00-03:00").find("days") != std::string::npos);
  CHECK(problem("mon-fry 02:00-03:00").find("days") != std::string::npos);
  CHECK(problem("daily 2:00-03:00").find("hours") != std::string::npos);
  CHECK(problem("daily 24:00-03:00").find("hours") != std::string::npos);
  CHECK(problem("daily 02:60-03:00").find("hours") != std::string::npos);
  CHECK(problem("daily 02:00-24:01").find("hours") != std::string::npos);
  CHECK(problem("daily 02:00-03:00 Europe/Atlantis").find("Europe/Atlantis") != std::string::npos);
  CHECK(problem("daily 02:00-03:00 UTC extra").find("neither") != std::string::npos);
  CHECK(problem("2026-11-02 to 2026-11-01").find("before it begins") != std::string::npos);
  CHECK(problem("2026-11-02 to now") != "nothing");
  CHECK(problem("") != "nothing");
}

}  // namespace
}  // namespace freshet::testing
