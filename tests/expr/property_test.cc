#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>

#include "engine/base/rng.h"
#include "tests/expr/expr_support.h"

using namespace freshet;
using namespace freshet::test;

namespace {

/// A value of the slow oracle, which interprets the random tree row by row with plain C++.
struct Slow {
  bool null = true;
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;
  std::string text = {};
};
struct Tree {
  std::string text;
  std::function<Slow(const Batch&, int32_t)> eval;
};
Slow Null() { return {}; }
Slow Bool(bool v) { return {.null = false, .boolean = v}; }
Slow Int(int64_t v) { return {.null = false, .integer = v}; }
Slow Float(double v) { return {.null = false, .number = v}; }

int CompareFloat(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return static_cast<int>(std::isnan(a)) - static_cast<int>(std::isnan(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  Tree OfBool(int depth) {
    switch (depth <= 0 ? 0 : rng_.Below(9)) {
      case 0:
        return Pick() ? Column("b", 0, [](const opt& c, int32_t r) { return Bool(c.BoolAt(r)); })
                      : Literal(Pick() ? "true" : "null");
      case 1:
        return Logic("and", OfBool(depth - 1), OfBool(depth - 1), false);
      case 2:
        return Logic("or", OfBool(depth - 1), OfBool(depth - 1), true);
      case 3: {
        Tree a = OfBool(depth - 1);
        return {"(not " + a.text + ")", [a](const Batch& b, int32_t r) {
                  Slow v = a.eval(b, r);
                  v.boolean = !v.boolean;
                  return v;
                }};
      }
      case 4: {
        Tree a = OfInt(depth - 1);
        return {"(" + a.text + " is null)", [a](const Batch& b, int32_t r) { return Bool(a.eval(b, r).null); }};
      }
      case 5: {
        Tree a = OfInt(depth - 1), low = OfInt(0), high = OfInt(0);
        Tree both = Logic("and", Compare(a, ">=", low, &IntOrder), Compare(a, "<=", high, &IntOrder), false);
        return {"(" + a.text + " between " + low.text + " and " + high.text + ")", both.eval};
      }
      case 6:
        return Compare(OfText(depth - 1), Op(), OfText(depth - 1), &TextOrder);
      case 7:
        return Compare(OfFloat(depth - 1), Op(), OfFloat(depth - 1), &FloatOrder);
      default:
        return Compare(OfInt(depth - 1), Op(), OfInt(depth - 1), &IntOrder);
    }
  }

  Tree OfInt(int depth) {
    switch (depth <= 0 ? rng_.Below(3) : rng_.Below(8)) {
      case 0:
        return Column("i", 1, [](const opt& c, int32_t r) { return Int(c.int64s()[r]); });
      case 1:
        return Column("j", 2, [](const opt& c, int32_t r) { return Int(c.int64s()[r]); });
      case 2: {
        const int64_t v = static_cast<int64_t>(rng_.Below(11)) - 5;
        return {"(" + std::to_string(v) + ")", [v](const Batch&, int32_t) { return Int(v); }};
      }
      case 3: {
        Tree c = OfBool(depth - 1), a = OfInt(depth - 1), e = OfInt(depth - 1);
        return {"case when " + c.text + " then " + a.text + " else " + e.text + " end", [=](const Batch& b, int32_t r) {
                  const Slow v = c.eval(b, r);
                  return !v.null && v.boolean ? a.eval(b, r) : e.eval(b, r);
                }};
      }
      case 4: {
        Tree a = OfInt(depth - 1), e = OfInt(depth - 1);
        return {"coalesce(" + a.text + ", " + e.text + ")", [=](const Batch& b, int32_t r) {
                  const Slow v = a.eval(b, r);
                  return v.null ? e.eval(b, r) : v;
                }};
      }
      case 5: {
        Tree a = OfText(depth - 1);
        return {"length(" + a.text + ")", [a](const Batch& b, int32_t r) {
                  const Slow v = a.eval(b, r);
                  return v.null ? Null() : Int(static_cast<int64_t>(v.text.size()));
                }};
      }
      default: {
        static const char* const kOps[] = {"+", "-", "*", "div", "%"};
        const std::string op = kOps[rng_.Below(5)];
        Tree a = OfInt(depth - 1), e = OfInt(depth - 1);
        return {"(" + a.text + " " + op + " " + e.text + ")", [=](const Batch& b, int32_t r) {
                  const Slow x = a.eval(b, r), y = e.eval(b, r);
                  return x.null || y.null ? Null() : Exact(op, x.integer, y.integer);
                }};
      }
    }
  }

  Tree OfFloat(int depth) {
    switch (depth <= 0 ? rng_.Below(2) : rng_.Below(4)) {
      case 0:
        return Column("x", 3, [](const opt& c, int32_t r) { return Float(c.float64s()[r]); });
      case 1:
        return Column("y", 4, [](const opt& c, int32_t r) { return Float(c.float64s()[r]); });
      case 2: {
        Tree a = OfInt(depth - 1), e = OfInt(depth - 1);
        return {"(" + a.text + " / " + e.text + ")", [=](const Batch& b, int32_t r) {
                  const Slow x = a.eval(b, r), y = e.eval(b, r);
                  return x.null || y.null || y.integer == 0
                             ? Null()
                             : Float(static_cast<double>(x.integer) / static_cast<double>(y.integer));
                }};
      }
      default: {
        Tree a = OfFloat(depth - 1), e = OfFloat(depth - 1);
        return {"(" + a.text + " - " + e.text + ")", [=](const Batch& b, int32_t r) {
                  const Slow x = a.eval(b, r), y = e.eval(b, r);
                  return x.null || y.null ? Null() : Float(x.number - y.number);
                }};
      }
    }
  }

  Tree OfText(int depth) {
    switch (depth <= 0 ? rng_.Below(3) : rng_.Below(4)) {
      case 0:
        return Column("s", 5,
                      [](const opt& c, int32_t r) { return Slow{.null = false, .text = std::string(c.StringAt(r))}; });
      case 1:
        return Column("u", 6,
                      [](const opt& c, int32_t r) { return Slow{.null = false, .text = std::string(c.StringAt(r))}; });
      case 2:
        return {"'ab'", [](const Batch&, int32_t) { return Slow{.null = false, .text = "ab"}; }};
      default: {
        Tree a = OfText(depth - 1), e = OfText(depth - 1);
        return {"(" + a.text + " || " + e.text + ")", [=](const Batch& b, int32_t r) {
                  Slow x = a.eval(b, r);
                  const Slow y = e.eval(b, r);
                  if (x.null || y.null) return Null();
                  x.text += y.text;
                  return x;
                }};
      }
    }
  }

  Batch RandomBatch(int32_t rows, bool all_null) {
    static const char* const kTexts[] = {"", "a", "ab", "b", "abc"};
    static const char* const kFloats[] = {"nan", "inf", "-inf", "0", "-0.0", "1.5", "-2.25", "1e300"};
    std::vector<std::vector<Cell>> cells(static_cast<size_t>(rows));
    for (auto& row : cells) {
      if (all_null) continue;
      if (Likely()) row.push_back({"b", Pick() ? "true" : "false"});
      for (const char* name : {"i", "j"}) {
        if (!Likely()) continue;
        const uint64_t kind = rng_.Below(12);
        const std::string value = kind == 0   ? "9223372036854775807"
                                  : kind == 1 ? "-9223372036854775808"
                                              : std::to_string(static_cast<int64_t>(rng_.Below(9)) - 4);
        row.push_back({name, value});
      }
      for (const char* name : {"x", "y"})
        if (Likely()) row.push_back({name, kFloats[rng_.Below(8)]});
      for (const char* name : {"s", "u"})
        if (Likely()) row.push_back({name, kTexts[rng_.Below(5)]});
    }
    return MakeBatch(cells);
  }

  bool Pick() { return rng_.Below(2) == 0; }
  bool Likely() { return rng_.Below(6) != 0; }

 private:
  using opt = freshet::Column;
  static int IntOrder(const Slow& a, const Slow& b) {
    return a.integer < b.integer ? -1 : a.integer > b.integer ? 1 : 0;
  }
  static int FloatOrder(const Slow& a, const Slow& b) { return CompareFloat(a.number, b.number); }
  static int TextOrder(const Slow& a, const Slow& b) { return a.text.compare(b.text); }

  std::string Op() {
    static const char* const kOps[] = {"=", "!=", "<", "<=", ">", ">="};
    return kOps[rng_.Below(6)];
  }
  static Slow Exact(const std::string& op, int64_t x, int64_t y) {
    if ((op == "div" || op == "%") && y == 0) return Null();
    const __int128 a = x, b = y;
    const __int128 v = op == "+" ? a + b : op == "-" ? a - b : op == "*" ? a * b : op == "div" ? a / b : a % b;
    return v > INT64_MAX || v < INT64_MIN ? Null() : Int(static_cast<int64_t>(v));
  }
  static Tree Literal(const std::string& text) {
    return {text, [text](const Batch&, int32_t) { return text == "null" ? Null() : Bool(text == "true"); }};
  }
  template <class Read>
  static Tree Column(const std::string& name, int index, Read read) {
    return {name, [index, read](const Batch& b, int32_t r) {
              return b.column(index).IsNull(r) ? Null() : read(b.column(index), r);
            }};
  }
  static Tree Compare(const Tree& a, const std::string& op, const Tree& e, int (*order)(const Slow&, const Slow&)) {
    return {"(" + a.text + " " + op + " " + e.text + ")", [=](const Batch& b, int32_t r) {
              const Slow x = a.eval(b, r), y = e.eval(b, r);
              if (x.null || y.null) return Null();
              const int c = order(x, y);
              return Bool(op == "="    ? c == 0
                          : op == "!=" ? c != 0
                          : op == "<"  ? c < 0
                          : op == "<=" ? c <= 0
                          : op == ">"  ? c > 0
                                       : c >= 0);
            }};
  }
  static Tree Logic(const std::string& op, const Tree& a, const Tree& e, bool decides) {
    return {"(" + a.text + " " + op + " " + e.text + ")", [=](const Batch& b, int32_t r) {
              const Slow x = a.eval(b, r), y = e.eval(b, r);
              if ((!x.null && x.boolean == decides) || (!y.null && y.boolean == decides)) return Bool(decides);
              return x.null || y.null ? Null() : Bool(!decides);
            }};
  }

  Rng rng_;
};

bool Same(const Column& column, int32_t row, const Slow& want) {
  if (column.IsNull(row) || want.null) return column.IsNull(row) == want.null;
  switch (column.type()) {
    case TypeId::kBool:
      return column.BoolAt(row) == want.boolean;
    case TypeId::kInt64:
      return column.int64s()[row] == want.integer;
    case TypeId::kFloat64:
      return CompareFloat(column.float64s()[row], want.number) == 0;
    default:
      return column.StringAt(row) == want.text;
  }
}

Selection EverySecond(int32_t rows) {
  Selection selection{AllocateBuffer(4 * (rows + 1)), 0};
  for (int32_t r = 1; r < rows; r += 2) selection.indices.as<int32_t>()[selection.count++] = r;
  return selection;
}

void CheckTree(const Tree& tree, const Batch& batch) {
  Diagnostics diagnostics;
  const auto bound = BindText(tree.text, &diagnostics);
  if (!bound) FAIL("does not bind: " << tree.text << "\n" << Problems(tree.text));
  const Column column = bound->Evaluate(batch);
  REQUIRE(column.length() == batch.physical_row_count());
  std::vector<int32_t> rows;
  for (int32_t k = 0; k < batch.row_count(); ++k)
    rows.push_back(batch.has_selection() ? batch.selection().indices.as<int32_t>()[k] : k);
  std::vector<int32_t> kept;
  for (const int32_t row : rows) {
    const Slow want = tree.eval(batch, row);
    if (!Same(column, row, want)) FAIL(tree.text << " in row " << row << " gives " << CellText(column, row));
    if (bound->type() == TypeId::kBool && !want.null && want.boolean) kept.push_back(row);
  }
  if (bound->type() != TypeId::kBool) return;
  const Selection selection = bound->Filter(batch);
  const std::vector<int32_t> got(selection.indices.as<int32_t>(), selection.indices.as<int32_t>() + selection.count);
  if (got != kept) FAIL("the filter " << tree.text << " keeps " << got.size() << " rows, not " << kept.size());
}

}  // namespace

TEST_CASE("Evaluate_RandomExpressions_AgreeWithTheInterpreterOnFourShapes") {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    Generator random(seed);
    const Tree trees[] = {random.OfBool(4), random.OfInt(4), random.OfFloat(4), random.OfText(3)};
    const Batch dense = random.RandomBatch(37, false);
    const Batch shapes[] = {dense, dense.Slice(3, 29), dense.WithSelection(EverySecond(37)),
                            random.RandomBatch(11, true)};
    for (const Tree& tree : trees)
      for (const Batch& batch : shapes) CheckTree(tree, batch);
  }
}

TEST_CASE("Evaluate_EmptyBatch_GivesNoRows") {
  const Batch empty = MakeBatch({});
  for (const char* text : {"i + 1", "s || 'a'", "b and i > 1", "case when b then 1 end", "upper(s)", "1"}) {
    Diagnostics diagnostics;
    CHECK(BindText(text, &diagnostics)->Evaluate(empty).length() == 0);
  }
}
