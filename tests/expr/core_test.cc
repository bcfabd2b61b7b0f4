#include <doctest/doctest.h>

#include "tests/expr/expr_support.h"

using namespace freshet;
using namespace freshet::test;

TEST_CASE("Arithmetic_Constants_FollowSql") {
  CHECK(Constant("1 + 2 * 3") == "7");
  CHECK(Constant("(1 + 2) * 3") == "9");
  CHECK(Constant("7 / 2") == "3.5");
  CHECK(Constant("7 div 2") == "3");
  CHECK(Constant("-7 div 2") == "-3");
  CHECK(Constant("-7 % 2") == "-1");
  CHECK(Constant("2 - 3 - 4") == "-5");
  CHECK(Constant("1 + 0.5") == "1.5");
  CHECK(Constant("-9223372036854775808") == "-9223372036854775808");
  CHECK(Constant("1e3") == "1000");
  CHECK(Constant("- (2)") == "-2");
  CHECK(Constant("'a' || 'b' || 1") == "'ab1'");
  CHECK(Constant("2::float64 / 4") == "0.5");
  CHECK(Constant("1 + null") == "null");
}

TEST_CASE("Arithmetic_OverflowAndDivisionByZero_NullAndCounted") {
  int64_t nulled = 0;
  CHECK(OnRow("i + j", {{"i", "9223372036854775807"}, {"j", "1"}}, &nulled) == "null");
  CHECK(OnRow("i - j", {{"i", "-9223372036854775807"}, {"j", "2"}}, &nulled) == "null");
  CHECK(OnRow("i * j", {{"i", "4611686018427387904"}, {"j", "2"}}, &nulled) == "null");
  CHECK(OnRow("-i", {{"i", "-9223372036854775808"}}, &nulled) == "null");
  CHECK(OnRow("i div j", {{"i", "-9223372036854775808"}, {"j", "-1"}}, &nulled) == "null");
  CHECK(nulled == 5);
  CHECK(OnRow("i / j", {{"i", "1"}, {"j", "0"}}, &nulled) == "null");
  CHECK(OnRow("i div j", {{"i", "1"}, {"j", "0"}}, &nulled) == "null");
  CHECK(OnRow("i % j", {{"i", "1"}, {"j", "0"}}, &nulled) == "null");
  CHECK(OnRow("x / y", {{"x", "1"}, {"y", "0"}}, &nulled) == "null");
  CHECK(nulled == 9);
  // Null operands are not counted, nor are rows that a condition keeps away from the division.
  CHECK(OnRow("i / j", {{"j", "0"}}, &nulled) == "null");
  CHECK(OnRow("case when j != 0 then i / j else 0 end", {{"i", "1"}, {"j", "0"}}, &nulled) == "0");
  CHECK(OnRow("j != 0 and i / j > 1", {{"i", "1"}, {"j", "0"}}, &nulled) == "false");
  CHECK(OnRow("i / nullif(j, 0)", {{"i", "1"}, {"j", "0"}}, &nulled) == "null");
  CHECK(nulled == 9);
  CHECK(OnRow("i % j", {{"i", "-9223372036854775808"}, {"j", "-1"}}, &nulled) == "0");
  CHECK(nulled == 9);
}

TEST_CASE("Nulled_RowsOutsideTheSelection_NotCounted") {
  const Batch batch = MakeBatch({{{"i", "1"}, {"j", "0"}}, {{"i", "1"}, {"j", "0"}}, {{"i", "4"}, {"j", "2"}}});
  Selection selection{AllocateBuffer(8), 2};
  selection.indices.as<int32_t>()[0] = 1;
  selection.indices.as<int32_t>()[1] = 2;
  Diagnostics diagnostics;
  const auto bound = BindText("i / j", &diagnostics);
  int64_t nulled = 0;
  const Column column = bound->Evaluate(batch.WithSelection(selection), &nulled);
  CHECK(nulled == 1);
  CHECK(column.length() == 3);
  CHECK(CellText(column, 2) == "2");
}

TEST_CASE("Logic_ThreeValued_TruthTables") {
  const char* values[] = {"true", "false", "null"};
  const char* and_table[3][3] = {{"true", "false", "null"}, {"false", "false", "false"}, {"null", "false", "null"}};
  const char* or_table[3][3] = {{"true", "true", "true"}, {"true", "false", "null"}, {"true", "null", "null"}};
  const char* not_table[3] = {"false", "true", "null"};
  const auto bool_of = [](const std::string& v, const char* column) {
    return v == "null" ? "(" + std::string(column) + " > 0)"
                       : "(" + std::string(column) + (v == "true" ? " is null)" : " is not null)");
  };
  for (int a = 0; a < 3; ++a) {
    CHECK(Constant(std::string("not ") + values[a]) == not_table[a]);
    CHECK(OnRow("not b", {{"b", values[a]}}) == not_table[a]);
    for (int c = 0; c < 3; ++c) {
      CHECK(Constant(std::string(values[a]) + " and " + values[c]) == and_table[a][c]);
      CHECK(Constant(std::string(values[a]) + " or " + values[c]) == or_table[a][c]);
      // The same from columns: i and j are null in the row, so `is null` is true and `> 0` null.
      CHECK(OnRow(bool_of(values[a], "i") + " and " + bool_of(values[c], "j"), {}) == and_table[a][c]);
      CHECK(OnRow(bool_of(values[a], "i") + " or " + bool_of(values[c], "j"), {}) == or_table[a][c]);
    }
  }
  CHECK(Constant("null is null") == "true");
  CHECK(OnRow("b is true", {}) == "false");
  CHECK(OnRow("b is not true", {}) == "true");
  CHECK(OnRow("b is false", {{"b", "false"}}) == "true");
  CHECK(OnRow("s is not null", {{"s", ""}}) == "true");
}

TEST_CASE("Comparison_NanAndMixedTypes_NanLast") {
  CHECK(OnRow("x > 5", {{"x", "nan"}}) == "true");
  CHECK(OnRow("x >= 5", {{"x", "nan"}}) == "true");
  CHECK(OnRow("x < 5", {{"x", "nan"}}) == "false");
  CHECK(OnRow("x <= 5", {{"x", "nan"}}) == "false");
  CHECK(OnRow("x = y", {{"x", "nan"}, {"y", "nan"}}) == "true");
  CHECK(OnRow("x < y", {{"x", "inf"}, {"y", "nan"}}) == "true");
  CHECK(OnRow("x >= y", {{"x", "nan"}, {"y", "nan"}}) == "true");
  CHECK(OnRow("x != y", {{"x", "nan"}, {"y", "1"}}) == "true");
  CHECK(OnRow("i > 1.5", {{"i", "2"}}) == "true");
  CHECK(OnRow("i = 9007199254740993", {{"i", "9007199254740993"}}) == "true");
  CHECK(OnRow("1e6 < i", {{"i", "1000001"}}) == "true");
  CHECK(OnRow("s = 'a'", {{"s", "a"}}) == "true");
  CHECK(OnRow("s == u", {{"s", "a"}, {"u", "b"}}) == "false");
  CHECK(OnRow("s <> u", {{"s", "a"}, {"u", "b"}}) == "true");
  CHECK(OnRow("t >= '2015-09-12'", {{"t", "1442016000000000"}}) == "true");
  CHECK(OnRow("b = true", {{"b", "true"}}) == "true");
  CHECK(OnRow("i = null", {{"i", "1"}}) == "null");
}

TEST_CASE("Membership_NullsInList_ThreeValued") {
  CHECK(Constant("1 in (1, 2)") == "true");
  CHECK(OnRow("i in (1, 2, null)", {{"i", "3"}}) == "null");
  CHECK(OnRow("i in (1, 2, null)", {{"i", "2"}}) == "true");
  CHECK(OnRow("i not in (1, 2)", {{"i", "3"}}) == "true");
  CHECK(OnRow("i in (1, 2)", {}) == "null");
  CHECK(OnRow("s in ('a', 'bc')", {{"s", "bc"}}) == "true");
  CHECK(OnRow("x in (1, y)", {{"x", "2"}, {"y", "2"}}) == "true");
  CHECK(OnRow("i between 1 and 3", {{"i", "3"}}) == "true");
  CHECK(OnRow("i not between 1 and 3", {{"i", "4"}}) == "true");
  CHECK(OnRow("i between j and 3", {{"i", "4"}}) == "false");
  CHECK(OnRow("i between 1 and 3 and b", {{"i", "2"}, {"b", "true"}}) == "true");
}

TEST_CASE("Branches_Values_PickedPerRow") {
  CHECK(OnRow("case when i > 1 then 'many' when i = 1 then 'one' end", {{"i", "1"}}) == "'one'");
  CHECK(OnRow("case when i > 1 then 'many' when i = 1 then 'one' end", {{"i", "0"}}) == "null");
  CHECK(OnRow("case s when 'a' then 1 when 'b' then 2.5 else 3 end", {{"s", "b"}}) == "2.5");
  CHECK(OnRow("if(b, i, j)", {{"b", "false"}, {"i", "1"}, {"j", "2"}}) == "2");
  CHECK(OnRow("if(b, s)", {{"s", "x"}}) == "null");
  CHECK(OnRow("coalesce(i, x, 0)", {{"x", "2.5"}}) == "2.5");
  CHECK(OnRow("coalesce(s, 'none')", {}) == "'none'");
  CHECK(OnRow("nullif(i, 3)", {{"i", "3"}}) == "null");
  CHECK(OnRow("nullif(i, 2.5)", {{"i", "3"}}) == "3");
  CHECK(OnRow("nullif(s, '')", {{"s", ""}}) == "null");
  CHECK(OnRow("greatest(i, j, 2)", {{"i", "1"}}) == "2");
  CHECK(OnRow("least(x, y)", {{"x", "nan"}, {"y", "1"}}) == "1");
  CHECK(OnRow("coalesce(l, l) is null", {}) == "true");
}

TEST_CASE("Filter_Selections_AreSubsetsInOrder") {
  const Batch batch = MakeBatch(
      {{{"i", "1"}, {"s", "a"}}, {{"i", "5"}, {"s", "b"}}, {{"s", "a"}}, {{"i", "7"}}, {{"i", "9"}, {"s", "a"}}});
  const auto rows = [&](const std::string& text, const Batch& in) {
    Diagnostics diagnostics;
    const Selection selection = BindText(text, &diagnostics)->Filter(in);
    std::string out;
    for (int32_t k = 0; k < selection.count; ++k) out += std::to_string(selection.indices.as<int32_t>()[k]);
    return out;
  };
  CHECK(rows("i > 1", batch) == "134");
  CHECK(rows("s = 'a'", batch) == "024");
  CHECK(rows("s != 'a'", batch) == "1");
  CHECK(rows("s = 'a' and i > 1", batch) == "4");
  CHECK(rows("s = 'b' or i > 6", batch) == "134");
  CHECK(rows("not (i > 1)", batch) == "0");
  CHECK(rows("true", batch) == "01234");
  CHECK(rows("null is not null", batch) == "");
  CHECK(rows("i is null", batch) == "2");
  CHECK(rows("i > 1", batch.Slice(1, 3)) == "02");
  CHECK(rows("s = 'a'", batch.Slice(1, 4)) == "13");
  Selection selection{AllocateBuffer(8), 2};
  selection.indices.as<int32_t>()[0] = 0;
  selection.indices.as<int32_t>()[1] = 4;
  CHECK(rows("i > 1", batch.WithSelection(selection)) == "4");
}

TEST_CASE("BoundExpr_Introspection_ColumnsAndText") {
  Diagnostics diagnostics;
  const auto bound = BindText("I + 1", &diagnostics);
  CHECK(!bound);
  const auto sum = BindText("x + i * (j + 1) > 3 AND NOT b", &diagnostics);
  REQUIRE(sum);
  CHECK(sum->columns_read() == std::vector<int>{0, 1, 2, 3});
  CHECK(sum->ToString() == "((x + (i * (j + 1))) > 3) and (not b)");
  CHECK(!sum->AsColumn());
  CHECK(BindText("\"s\"", &diagnostics)->AsColumn() == 5);
  CHECK(BindText("t - t", &diagnostics)->type() == TypeId::kFloat64);
  CHECK(BindText("interval '90s'", &diagnostics)->type() == TypeId::kFloat64);
}
