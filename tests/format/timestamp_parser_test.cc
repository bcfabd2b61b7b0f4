#include <doctest/doctest.h>

#include "connectors/format/timestamp_parser.h"

namespace freshet {
namespace {

int64_t At(const TimestampParser& parser, std::string_view text) { return parser.ParseText(text).value_or(-1); }

TEST_CASE("Timestamp_Rfc3339_AllForms") {
  const TimestampParser utc;
  CHECK(At(utc, "1970-01-01T00:00:00Z") == 0);
  CHECK(At(utc, "2015-09-12T00:46:58.771Z") == 1442018818771000);
  CHECK(At(utc, "2015-09-12t00:46:58.7712345z") == 1442018818771234);
  CHECK(At(utc, "2015-09-12 02:46:58+02:00") == 1442018818000000);
  CHECK(At(utc, "2015-09-11T19:16:58-0530") == 1442018818000000);
  CHECK(At(utc, "2015-09-12T00:46:58") == 1442018818000000);
  CHECK(At(utc, "2016-02-29") == 1456704000000000);
  CHECK(At(utc, "1969-12-31T23:59:59.999999Z") == -1);
  for (const char* bad :
       {"2015-02-29", "2015-13-01", "2015-09-12T24:00:00Z", "2015-09-12T00:60:00Z", "2015-09-12T",
        "2015-09-12T00:46:58.Z", "2015-09-12T00:46:58X", "", "-", "+1", "nan", "12 Sep 2015", "2015-9-12T00:00:00Z"})
    CHECK_FALSE(utc.ParseText(bad).has_value());
}

TEST_CASE("Timestamp_Epochs_GoByMagnitudeOrPattern") {
  const TimestampParser any;
  for (const int64_t epoch :
       {int64_t{1442018818}, int64_t{1442018818000}, int64_t{1442018818000000}, int64_t{1442018818000000000}})
    CHECK(any.ParseInteger(epoch) == 1442018818000000);
  CHECK(any.ParseDouble(1442018818.5) == 1442018818500000);
  CHECK(At(any, "1442018818771") == 1442018818771000);
  CHECK(any.ParseInteger(-86400) == -86400000000);
  const TimestampParser millis = TimestampParser::Make("epoch_ms", "").value();
  CHECK(millis.ParseInteger(1000) == 1000000);
  CHECK_FALSE(millis.ParseText("2015-09-12").has_value());
  CHECK_FALSE(TimestampParser::Make("epoch_s", "").value().ParseInteger(INT64_MAX).has_value());
}

TEST_CASE("Timestamp_PatternWithZone_FollowsSummerTime") {
  const TimestampParser berlin = TimestampParser::Make("%d.%m.%Y %H:%M", "Europe/Berlin").value();
  CHECK(At(berlin, "01.07.2017 12:00") == 1498903200000000);
  CHECK(At(berlin, "01.01.2017 12:00") == 1483268400000000);
  CHECK_FALSE(berlin.ParseText("01.07.2017").has_value());
  CHECK_FALSE(berlin.ParseText("01.07.2017 12:00 more").has_value());
  CHECK(berlin.ParseText("29.10.2017 02:30") == 1509237000000000);  // occurs twice: the earlier one
  CHECK(berlin.ParseText("26.03.2017 02:30").has_value());          // never occurs
  CHECK(At(TimestampParser::Make("%Y%m%d", "").value(), "20170714") == 1499990400000000);
  CHECK(At(TimestampParser::Make("%d/%b/%Y:%H:%M:%S %z", "").value(), "14/Jul/2017:04:40:00 +0200") ==
        1500000000000000);
  CHECK(At(TimestampParser::Make("", "Europe/Berlin").value(), "2017-07-01") == 1498860000000000);
}

TEST_CASE("Timestamp_BadPatternOrZone_IsRefused") {
  CHECK_FALSE(TimestampParser::Make("%d.%m", "").ok());
  CHECK_FALSE(TimestampParser::Make("dd.mm.yyyy", "").ok());
  CHECK_FALSE(TimestampParser::Make("", "Europe/Nowhere").ok());
}

}  // namespace
}  // namespace freshet
