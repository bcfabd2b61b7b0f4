#include <doctest/doctest.h>

#include "tests/expr/expr_support.h"

using namespace freshet;
using namespace freshet::test;

TEST_CASE("StringFunctions_Utf8_CountCharacters") {
  CHECK(Constant("length('häß€😀')") == "5");
  CHECK(Constant("upper('straße é')") == "'STRAßE É'");
  CHECK(Constant("lower('ÄÖ Ж')") == "'äö ж'");
  CHECK(Constant("trim('  a b ')") == "'a b'");
  CHECK(Constant("ltrim('xxa', 'x') || rtrim('b--', '-')") == "'ab'");
  CHECK(Constant("substr('häuser', 2, 3)") == "'äus'");
  CHECK(Constant("substr('abc', -2)") == "'bc'");
  CHECK(Constant("substr('abc', 0, 2)") == "'a'");
  CHECK(Constant("substring('abc', 9)") == "''");
  CHECK(Constant("left('äbc', 2)") == "'äb'");
  CHECK(Constant("left('abc', -1)") == "'ab'");
  CHECK(Constant("right('abc', 2)") == "'bc'");
  CHECK(Constant("right('abc', -1)") == "'bc'");
  CHECK(Constant("right('abc', 9)") == "'abc'");
  CHECK(Constant("replace('banana', 'an', 'o')") == "'booa'");
  CHECK(Constant("split_part('a,b,c', ',', 2)") == "'b'");
  CHECK(Constant("split_part('a,b,c', ',', -1)") == "'c'");
  CHECK(Constant("split_part('a,b,c', ',', 7)") == "''");
  CHECK(Constant("starts_with('abc', 'ab') and ends_with('abc', 'bc') and contains('abc', 'b')") == "true");
  CHECK(Constant("position('ß' in 'straße')") == "5");
  CHECK(Constant("strpos('abc', 'z')") == "0");
  CHECK(Constant("lpad('7', 3, '0')") == "'007'");
  CHECK(Constant("rpad('abcd', 3)") == "'abc'");
  CHECK(Constant("rpad('a', 4, 'xy')") == "'axyx'");
  CHECK(Constant("reverse('aä€')") == "'€äa'");
  CHECK(Constant("repeat('ab', 3)") == "'ababab'");
  CHECK(Constant("concat('a', null, 1, true)") == "'a1true'");
  CHECK(Constant("'a' || null") == "null");
}

TEST_CASE("Patterns_LikeAndRegexp_Match") {
  for (const char* pattern : {"'abc'", "'ab%'", "'%bc'", "'%b%'", "'a_c'", "'%'", "'a%c'", "'%a%b%c%'"}) {
    CHECK(Constant("'abc' like " + std::string(pattern)) == "true");
    CHECK(OnRow("s like u", {{"s", "abc"}, {"u", std::string(pattern).substr(1, std::string(pattern).size() - 2)}}) ==
          "true");
  }
  CHECK(Constant("'abc' like 'ab'") == "false");
  CHECK(Constant("'aäc' like 'a_c'") == "true");
  CHECK(Constant("'a%c' like 'a\\%c'") == "true");
  CHECK(Constant("'abc' like 'a\\%c'") == "false");
  CHECK(Constant("'ABC' ilike 'a%'") == "true");
  CHECK(Constant("'abc' not like 'x%'") == "true");
  CHECK(Constant("regexp_matches('error 503', '\\b5\\d\\d\\b')") == "true");
  CHECK(Constant("regexp_extract('id=42;', 'id=(\\d+)', 1)") == "'42'");
  CHECK(Constant("regexp_extract('none', 'id=(\\d+)', 1)") == "null");
  CHECK(Constant("regexp_replace('aXbX', 'X', '-')") == "'a-bX'");
  CHECK(Constant("regexp_replace('aXbX', '(X)', '<\\1>', 'g')") == "'a<X>b<X>'");
  int64_t nulled = 0;
  CHECK(OnRow("regexp_matches('a', s)", {{"s", "("}}, &nulled) == "null");
  CHECK(nulled == 1);
}

TEST_CASE("MathFunctions_Domain_NullAndCounted") {
  CHECK(Constant("abs(-3)") == "3");
  CHECK(Constant("abs(-2.5)") == "2.5");
  CHECK(Constant("round(2.5)") == "3");
  CHECK(Constant("round(-2.5)") == "-3");
  CHECK(Constant("round(3.14159, 2)") == "3.14");
  CHECK(Constant("round(1250, -2)") == "1300");
  CHECK(Constant("floor(-1.5)") == "-2");
  CHECK(Constant("ceil(1.2)") == "2");
  CHECK(Constant("trunc(-1.7)") == "-1");
  CHECK(Constant("sqrt(9)") == "3");
  CHECK(Constant("pow(2, 10)") == "1024");
  CHECK(Constant("ln(exp(2))") == "2");
  CHECK(Constant("log(1000)") == "3");
  CHECK(Constant("log10(100) + log2(8)") == "5");
  CHECK(Constant("log1p(0) + expm1(0)") == "0");
  CHECK(Constant("sign(-7) + sign(2.0)") == "0");
  CHECK(Constant("mod(-7, 3)") == "-1");
  CHECK(Constant("mod(7.5, 2)") == "1.5");
  CHECK(Constant("round(pi(), 4)") == "3.1416");
  CHECK(Constant("round(sin(1) * sin(1) + cos(1) * cos(1), 12)") == "1");
  CHECK(Constant("atan2(0, 1) + tan(0)") == "0");
  CHECK(OnRow("isnan(x)", {{"x", "nan"}}) == "true");
  int64_t nulled = 0;
  for (const char* text :
       {"sqrt(x)", "ln(x)", "log10(x)", "log2(x)", "log1p(x)", "pow(x, 0.5)", "mod(x, 0.0)", "x / 0.0"})
    CHECK(OnRow(text, {{"x", "-4"}}, &nulled) == "null");
  CHECK(nulled == 8);
  CHECK(OnRow("sqrt(x)", {{"x", "nan"}}, &nulled) == "nan");
  CHECK(nulled == 8);
}

TEST_CASE("Casts_EachPair_ConvertsOrNulls") {
  CHECK(Constant("cast('12' as int)") == "12");
  CHECK(Constant("cast(' -1.5e3 ' as float64)") == "-1500");
  CHECK(Constant("cast(2.5 as int64)") == "2");
  CHECK(Constant("3.5::int64") == "4");
  CHECK(Constant("cast('yes' as bool)") == "true");
  CHECK(Constant("true::int64 + 1") == "2");
  CHECK(Constant("cast(1.5 as string) || 2::text") == "'1.52'");
  CHECK(Constant("cast('2015-09-12T02:46:58.771+02:00' as timestamp)") == "2015-09-12T00:46:58.771Z");
  CHECK(Constant("cast(timestamp '2015-09-12' as string)") == "'2015-09-12T00:00:00Z'");
  int64_t nulled = 0;
  CHECK(OnRow("cast(s as int64)", {{"s", "12x"}}, &nulled) == "null");
  CHECK(OnRow("cast(x as int64)", {{"x", "1e30"}}, &nulled) == "null");
  CHECK(nulled == 2);
  CHECK(OnRow("try_cast(s as float64)", {{"s", ""}}, &nulled) == "null");
  CHECK(nulled == 2);
  CHECK(OnRow("doc || ''", {{"doc", "{}"}}) == "'{}'");
}

TEST_CASE("TimeFunctions_UtcAndZones_FollowTheCalendar") {
  const std::string t = "timestamp '2015-09-12T22:46:58.771Z'";  // a Saturday
  CHECK(Constant("date_trunc('hour', " + t + ")") == "2015-09-12T22:00:00Z");
  CHECK(Constant("date_trunc('week', " + t + ")") == "2015-09-07T00:00:00Z");
  CHECK(Constant("date_trunc('quarter', " + t + ")") == "2015-07-01T00:00:00Z");
  CHECK(Constant("date_trunc('day', " + t + ", 'Europe/Berlin')") == "2015-09-12T22:00:00Z");
  CHECK(Constant("date_trunc('week', timestamp '1969-12-31')") == "1969-12-29T00:00:00Z");
  CHECK(Constant("hour(" + t + ")") == "22");
  CHECK(Constant("hour(" + t + ", 'Europe/Berlin')") == "0");
  CHECK(Constant("dow(" + t + ", 'Europe/Berlin')") == "0");
  CHECK(Constant("extract(minute from " + t + ")") == "46");
  CHECK(Constant("date_part('doy', " + t + ")") == "255");
  CHECK(Constant("second(" + t + ") + day(" + t + ") + month(" + t + ") + year(" + t + ")") == "2094");
  CHECK(Constant("week(timestamp '2016-01-01')") == "53");
  CHECK(Constant("isodow(timestamp '2016-01-03') + quarter(timestamp '2016-12-01')") == "11");
  CHECK(Constant("hour(timestamp '1969-12-31T23:30:00Z')") == "23");
  CHECK(Constant("epoch(timestamp '1970-01-01T00:00:01.5Z')") == "1.5");
  CHECK(Constant("epoch_ms(timestamp '1970-01-01T00:00:01.5Z')") == "1500");
  CHECK(Constant("to_timestamp(1442018818)") == "2015-09-12T00:46:58Z");
  CHECK(Constant("to_timestamp(0.25)") == "1970-01-01T00:00:00.250Z");
  CHECK(Constant("strptime('17.14.11', '%y.%d.%m')") == "2017-11-14T00:00:00Z");
  CHECK(Constant("strptime('14/11/2017 10:00:00.5', '%d/%m/%Y %H:%M:%S', 'America/New_York')") ==
        "2017-11-14T15:00:00.500Z");
  CHECK(Constant("strptime('2017-11-14 10:00 +0200', '%Y-%m-%d %H:%M %z')") == "2017-11-14T08:00:00Z");
  CHECK(Constant("strftime(" + t + ", '%Y/%m/%d %H:%M:%S.%f')") == "'2015/09/12 22:46:58.771000'");
  CHECK(Constant("strftime(" + t + ", '%H:%M %Z', 'Europe/Berlin')") == "'00:46 CEST'");
  CHECK(Constant("make_timestamp(2016, 2, 29, 12, 30, 1.5)") == "2016-02-29T12:30:01.500Z");
  int64_t nulled = 0;
  CHECK(OnRow("make_timestamp(i, 2, 29, 0, 0, 0)", {{"i", "2015"}}, &nulled) == "null");
  CHECK(OnRow("strptime(s, '%Y-%m-%d')", {{"s", "2015-02-30x"}}, &nulled) == "null");
  CHECK(nulled == 2);
  CHECK(Constant("timestamp '2015-09-12' + 1h30m") == "2015-09-12T01:30:00Z");
  CHECK(Constant("timestamp '2015-09-12' - interval '1d'") == "2015-09-11T00:00:00Z");
  CHECK(Constant("timestamp '2015-09-12' + seconds(1.5) + 10s * 2") == "2015-09-12T00:00:21.500Z");
  CHECK(Constant("timestamp '2015-09-12' - '2015-09-11'") == "86400");
  CHECK(Constant("age('2015-09-12T00:00:01Z', '2015-09-12')") == "1");
  CHECK(OnRow("t - '1970-01-01' > 10s", {{"t", "11000000"}}) == "true");
}

TEST_CASE("Hash_EqualNumbers_HashAlike") {
  CHECK(Constant("hash(1) = hash(1.0) and hash('a') != hash('b')") == "true");
  CHECK(Constant("hash(null)") == "null");
  // Frozen: people partition and sample by it.
  CHECK(Constant("hash('freshet')") == "1551681233661463283");
  CHECK(Constant("hash(1)") == "7064932199564934657");
}

TEST_CASE("KeyedCalls_Bound_BecomeColumnsAfterTheSchema") {
  std::vector<KeyedCall> calls;
  BoundExpr::Options options;
  options.keyed_calls = &calls;
  Diagnostics diagnostics;
  const auto bound = BindText("rate(i) / 2 + delta(x + 1) + rate(i) + lag(j, 3)", &diagnostics, *TestSchema(), options);
  REQUIRE(bound);
  REQUIRE(calls.size() == 3);
  CHECK(calls[0].result_type == TypeId::kFloat64);
  CHECK(calls[1].function == KeyedCall::Function::kDelta);
  CHECK(calls[1].argument.ToString() == "x + 1");
  CHECK(calls[2].offset == 3);
  CHECK(bound->columns_read().empty());
  const auto bare = BindText("rate(i)", &diagnostics, *TestSchema(), options);
  CHECK(!bare->AsColumn());
}

TEST_CASE("EnumWords_BareButNotQuoted_AreText") {
  BoundExpr::Options options;
  options.enum_values = {"high", "s"};
  Diagnostics diagnostics;
  CHECK(BindText("high", &diagnostics, *TestSchema(), options)->type() == TypeId::kString);
  CHECK(!BindText("s", &diagnostics, *TestSchema(), options)->AsColumn());
  CHECK(BindText("\"s\"", &diagnostics, *TestSchema(), options)->AsColumn() == 5);
}

TEST_CASE("AsCall_Aggregates_TakenApart") {
  Diagnostics diagnostics;
  const auto parsed = ParsedExpr::Parse(Spanned("Count(distinct x) filter (where i > 1)"), &diagnostics);
  REQUIRE(parsed);
  const auto call = parsed->AsCall();
  REQUIRE(call);
  CHECK(call->function == "count");
  CHECK(call->distinct);
  CHECK(call->arguments.size() == 1);
  CHECK(call->arguments[0].AsColumnName() == "x");
  REQUIRE(call->filter.size() == 1);
  CHECK(call->filter[0].ColumnNames() == std::vector<std::string>{"i"});
  CHECK(call->function_span.column == 1);
  CHECK(call->function_span.length == 5);
  CHECK(ParsedExpr::Parse(Spanned("count(*)"), &diagnostics)->AsCall()->star);
  CHECK(!ParsedExpr::Parse(Spanned("sum(x) / 2"), &diagnostics)->AsCall());
  CHECK(diagnostics.error_count() == 0);
}

TEST_CASE("ScalarFunctions_Documented_AllNamed") {
  CHECK(ScalarFunctions().size() > 80);
  for (const FunctionDoc& doc : ScalarFunctions()) CHECK(!doc.signature.empty());
}
