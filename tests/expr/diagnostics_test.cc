#include <doctest/doctest.h>

#include "tests/expr/expr_support.h"

using namespace freshet;
using namespace freshet::test;

TEST_CASE("FR3001_Syntax_PointsAtTheToken") {
  CHECK(Problems("i + ").starts_with("FR3001 1:4+1 the expression ends where a value should stand"));
  CHECK(Problems("i +* 2") == "FR3001 1:4+1 `*` stands where a value should");
  CHECK(Problems("(i > 1").starts_with("FR3001 1:6+1 the expression ends where `)`"));
  CHECK(Problems("i > 1 j").starts_with("FR3001 1:7+1 `j`"));
  CHECK(Problems("i && b") == "FR3001 1:3+2 `&&` is not an operator here | did you mean `and`?");
  CHECK(Problems("").starts_with("FR3001"));
  CHECK(Problems("case i end").starts_with("FR3001 1:8+3"));
}
TEST_CASE("FR3002_UnterminatedText_PointsAtTheQuote") {
  CHECK(Problems("s = 'abc").starts_with("FR3002 1:5+1 the text does not end"));
}
TEST_CASE("FR3003_BadLiteral_Underlined") {
  CHECK(Problems("i > 12abc").starts_with("FR3003 1:5+5 `12abc` is neither a number nor a duration"));
  CHECK(Problems("i > 9223372036854775808").starts_with("FR3003 1:5+19"));
  CHECK(Problems("t + interval 'soon'").starts_with("FR3003 1:14+6"));
}
TEST_CASE("FR3004_TooDeep_IsAnErrorNotACrash") {
  CHECK(Problems(std::string(5000, '(') + "1" + std::string(5000, ')')).starts_with("FR3004"));
  std::string chain = "1";
  for (int k = 0; k < 5000; ++k) chain += "+1";
  CHECK(Problems(chain).starts_with("FR3004"));
  std::string flat = "i = 0";
  for (int k = 1; k < 5000; ++k) flat += " or i = " + std::to_string(k);
  CHECK(Problems(flat) == "");
}
TEST_CASE("FR3005_UnknownColumn_SuggestsTheNearest") {
  const Schema schema({{"views", TypeId::kInt64}, {"likes", TypeId::kInt64}});
  CHECK(Problems("likes / nullif(veiws, 0)", schema) ==
        "FR3005 1:16+5 there is no column `veiws` | did you mean `views`?");
  CHECK(Problems("Views > 1", schema) == "FR3005 1:1+5 there is no column `Views` | did you mean `views`?");
  CHECK(Problems("likse > vews", schema).find("\nFR3005 1:9+4") != std::string::npos);
}
TEST_CASE("FR3006_UnknownFunction_SuggestsTheNearest") {
  CHECK(Problems("lenght(s) > 1") == "FR3006 1:1+6 there is no function `lenght` | did you mean `length`?");
  CHECK(Problems("t > now()").starts_with("FR3006 1:5+3 there is no function `now` | there is no clock"));
}
TEST_CASE("FR3007_WrongArity_NamesTheSignature") {
  CHECK(Problems("1 + sqrt(x, y)") ==
        "FR3007 1:5+10 `sqrt` does not take 2 arguments | it is sqrt(float64) -> float64");
  CHECK(Problems("nullif(i)").starts_with("FR3007 1:1+9 `nullif` takes 2 arguments, not 1"));
}
TEST_CASE("FR3008_WrongType_UnderlinesTheOperand") {
  CHECK(Problems("i + s").starts_with("FR3008 1:5+1 `+` needs numbers, but this is string"));
  CHECK(Problems("b and i").starts_with("FR3008 1:7+1 each operand of `and` must be bool, but this is int64"));
  CHECK(Problems("sqrt(s)").starts_with("FR3008 1:6+1 `sqrt` does not take string here"));
  CHECK(Problems("x % 2").starts_with("FR3008 1:1+1 `%` is for int64"));
  CHECK(Problems("t + 5").starts_with("FR3008 1:1+5 `+` does not work on timestamp and int64"));
}
TEST_CASE("FR3009_MixedTypes_UnderlinesTheOddOne") {
  CHECK(Problems("i = 'a'").starts_with("FR3009 1:5+3 string does not go together with int64"));
  CHECK(Problems("case when b then 1 else 'x' end").starts_with("FR3009 1:25+3"));
  CHECK(Problems("coalesce(i, s)").starts_with("FR3009 1:13+1"));
}
TEST_CASE("FR3010_TextIsNoTimestamp_Underlined") { CHECK(Problems("t > '2015-13-01'").starts_with("FR3010 1:5+12")); }
TEST_CASE("FR3011_Casts_UnknownOrImpossible") {
  CHECK(Problems("cast(s as strnig)") == "FR3011 1:11+6 there is no type `strnig` | did you mean `string`?");
  CHECK(Problems("cast(i as timestamp)").starts_with("FR3011 1:1+20 int64 cannot be cast to timestamp"));
}
TEST_CASE("FR3012_Keyed_NeedsKeyAndNoNesting") {
  CHECK(Problems("rate(i) > 1").starts_with("FR3012 1:1+4 `rate` needs `key`"));
  std::vector<KeyedCall> calls;
  BoundExpr::Options options;
  options.keyed_calls = &calls;
  CHECK(Problems("delta(rate(i))", *TestSchema(), options).starts_with("FR3012 1:7+4"));
  CHECK(Problems("lag(i, 0)", *TestSchema(), options).starts_with("FR3012 1:8+1"));
}
TEST_CASE("FR3013_Aggregates_AreNotScalar") {
  CHECK(Problems("sum(x) > 1").starts_with("FR3013 1:1+3 `sum` is an aggregate"));
  CHECK(Problems("count(*) > 1").starts_with("FR3013 1:1+5"));
}
TEST_CASE("FR3014_BadPattern_Underlined") {
  CHECK(Problems("regexp_matches(s, '(')").starts_with("FR3014 1:19+3 this is not a regular expression"));
  CHECK(Problems("strptime(s, 'yyyy')").starts_with("FR3014 1:13+6"));
}
TEST_CASE("FR3015_UnitOrZone_Suggested") {
  CHECK(Problems("date_trunc('huor', t)") == "FR3015 1:12+6 there is no time unit 'huor' | did you mean 'hour'?");
  CHECK(Problems("hour(t, 'Mars/Base')").starts_with("FR3015 1:9+11 there is no time zone"));
}
TEST_CASE("FR3016_ComparisonWithNull_Warned") {
  CHECK(Problems("i = null").starts_with("FR3016 1:1+8 a comparison with null is never true"));
}
TEST_CASE("FR3017_AlwaysNull_Warned") { CHECK(Problems("i > 1 / 0").starts_with("FR3017 1:5+5 this is always null")); }

TEST_CASE("Positions_BlockScalarOverLines_PointIntoTheRightLine") {
  SpannedText text = Spanned("i > 1\nand veiws");
  text.line_starts = {{0, 7, 5}, {6, 8, 5}};
  Diagnostics diagnostics;
  const auto parsed = ParsedExpr::Parse(text, &diagnostics);
  REQUIRE(parsed);
  CHECK(!BoundExpr::Bind(*parsed, *TestSchema(), &diagnostics));
  REQUIRE(diagnostics.Sorted().size() == 1);
  CHECK(diagnostics.Sorted()[0].span.line == 8);
  CHECK(diagnostics.Sorted()[0].span.column == 9);
}
