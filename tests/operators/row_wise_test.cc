// filter, derive, select and validate: rows in, rows out, counters, diagnostics.
#include <doctest/doctest.h>

#include "operators/derive.h"
#include "operators/filter.h"
#include "operators/select.h"
#include "operators/validate.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

const Schema kSchema(
    {{"id", TypeId::kString}, {"views", TypeId::kInt64}, {"rate", TypeId::kFloat64}, {"ok", TypeId::kBool}});

Batch Sample() {
  return MakeRows(kSchema, {{.time_us = 1000000, .cells = {"a", 1, 0.5, true}},
                            {.time_us = 2000000, .cells = {"b", 2, nullptr, false}},
                            {.time_us = 3000000, .cells = {nullptr, nullptr, 2.5, nullptr}},
                            {.time_us = 4000000, .cells = {"d", 4, 4.5, true}}});
}

std::vector<std::string> Rows(const OperatorHarness& harness, PortIndex port = 0) {
  std::vector<std::string> rows;
  for (const Batch& b : harness.output(0, port))
    for (std::string& t : RowTexts(b)) rows.push_back(std::move(t));
  return rows;
}

/// Feeds the batch dense, sliced at an odd offset, and with a selection of `kept`; returns the texts of each.
struct Fed {
  std::vector<std::string> rows;
  std::vector<std::string> side;
  NodeCounters counters;
};
Fed Feed(const BoundNode& node, const Batch& batch) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(batch);
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(ConservationFault(harness.counters(), node->node_class) == "");
  return {Rows(harness), node->outputs.size() > 1 ? Rows(harness, 1) : std::vector<std::string>(), harness.counters()};
}

Selection Select(std::vector<int32_t> rows) {
  Selection s{AllocateBuffer(int64_t{4} * static_cast<int64_t>(rows.size())), static_cast<int32_t>(rows.size())};
  for (size_t i = 0; i < rows.size(); ++i) s.indices.as<int32_t>()[i] = rows[i];
  return s;
}

TEST_CASE("Filter_NullIsFalse_KeepsTrueRowsOnly") {
  const BoundNode node(FilterDescriptor(), "where: views >= 2", kSchema);
  const Fed fed = Feed(node, Sample());
  REQUIRE(fed.rows.size() == 2);
  CHECK(fed.rows[0] == "@2000000 wm -9223372036854775808 id='b' views=2 rate=null ok=false");
  CHECK(fed.counters.filtered == 2);
  CHECK(node->stateless);
  CHECK(node->columns_read == std::vector<std::string>{"views"});
}

TEST_CASE("Filter_EmitsASelection_NotACopy") {
  const BoundNode node(FilterDescriptor(), "where: ok", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  const Batch in = Sample();
  harness.Feed(in);
  REQUIRE(harness.output(0, 0).size() == 1);
  const Batch& out = harness.output(0, 0)[0];
  CHECK(out.has_selection());
  CHECK(out.column(1).int64s() == in.column(1).int64s());
}

TEST_CASE("Filter_SelectionAndSlice_SameRowsAsDense") {
  const BoundNode node(FilterDescriptor(), "where: views > 1 or rate > 2", kSchema);
  const Batch in = Sample();
  const Fed whole = Feed(node, in);
  REQUIRE(whole.rows.size() == 3);
  const Fed sliced = Feed(node, in.Slice(1, 3));
  CHECK(sliced.rows == whole.rows);
  const Fed selected = Feed(node, in.WithSelection(Select({0, 2})));
  CHECK(selected.rows == std::vector<std::string>{whole.rows[1]});
  CHECK(selected.counters.filtered == 1);
}

TEST_CASE("Filter_NotACondition_IsReportedInPlace") {
  const BoundNode node(FilterDescriptor(), "where: views + 1", kSchema);
  CHECK_FALSE(node);
  CHECK(node.diagnostics().find("test.yaml:1:8: error: a condition is needed here, but this is int64") !=
        std::string::npos);
  CHECK(node.diagnostics().find("[FR3205]") != std::string::npos);
}

TEST_CASE("Select_ListOfNames_KeepsOrderOfTheList") {
  const Fed fed = Feed(BoundNode(SelectDescriptor(), "columns: [views, id]", kSchema), Sample().Slice(0, 1));
  CHECK(fed.rows == std::vector<std::string>{"@1000000 wm -9223372036854775808 views=1 id='a'"});
}

TEST_CASE("Select_Map_RenamesAndComputes") {
  const BoundNode node(SelectDescriptor(), "columns:\n  video: id\n  double: views * 2\n", kSchema);
  const Fed fed = Feed(node, Sample().WithSelection(Select({1, 2})));
  CHECK(fed.rows == std::vector<std::string>{"@2000000 wm -9223372036854775808 video='b' double=4",
                                             "@3000000 wm -9223372036854775808 video=null double=null"});
  CHECK_FALSE(node->passes_input_columns);
}

TEST_CASE("Select_Overflow_IsNullAndCounted") {
  const BoundNode node(SelectDescriptor(), "columns:\n  x: views * 9223372036854775807\n", kSchema);
  const Fed fed = Feed(node, Sample());
  CHECK(fed.counters.nulled == 2);
  CHECK(fed.rows[3] == "@4000000 wm -9223372036854775808 x=null");
}

TEST_CASE("Select_Mistakes_AreAllReported") {
  const BoundNode node(SelectDescriptor(), "columns: [view, id, id]", kSchema);
  CHECK_FALSE(node);
  CHECK(node.diagnostics().find("did you mean `views`?") != std::string::npos);
  CHECK(node.diagnostics().find("`id` is selected twice") != std::string::npos);
}

TEST_CASE("Validate_BrokenOrNullRules_GoToRejectedWithTheirNames") {
  const BoundNode node(ValidateDescriptor(), "rules:\n  seen: views > 1\n  rated: rate < 4\n  named: id is not null\n",
                       kSchema);
  const Fed fed = Feed(node, Sample());
  CHECK(fed.rows.empty());
  REQUIRE(fed.side.size() == 4);
  CHECK(fed.side[0].ends_with("failed_rules='seen'"));
  CHECK(fed.side[1].ends_with("failed_rules='rated'"));  // null fails
  CHECK(fed.side[2].ends_with("failed_rules='seen,named'"));
  CHECK(fed.side[3].ends_with("failed_rules='rated'"));
  CHECK(fed.counters.rejected == 4);
}

TEST_CASE("Validate_WithSelection_JudgesSelectedRowsOnly") {
  const BoundNode node(ValidateDescriptor(), "rules: {seen: views >= 2}", kSchema);
  const Fed fed = Feed(node, Sample().WithSelection(Select({0, 3})));
  REQUIRE(fed.rows.size() == 1);
  CHECK(fed.rows[0].find("id='d'") != std::string::npos);
  REQUIRE(fed.side.size() == 1);
  CHECK(fed.side[0].find("id='a'") != std::string::npos);
}

TEST_CASE("Derive_LaterColumns_MayUseEarlierOnes") {
  const BoundNode node(DeriveDescriptor(), "columns:\n  twice: views * 2\n  four: twice * 2\n", kSchema);
  const Fed fed = Feed(node, Sample());
  CHECK(fed.rows[3] == "@4000000 wm -9223372036854775808 id='d' views=4 rate=4.5 ok=true twice=8 four=16");
  CHECK(node->stateless);
  CHECK(node->columns_read == std::vector<std::string>{"views"});
}

TEST_CASE("Derive_OverwritingAColumn_IsAnErrorThatNamesAWayOut") {
  const BoundNode node(DeriveDescriptor(), "columns:\n  views: views * 2\n", kSchema);
  CHECK_FALSE(node);
  CHECK(node.diagnostics().find("test.yaml:2:3: error: there is a column `views` already") != std::string::npos);
  CHECK(node.diagnostics().find("choose another name") != std::string::npos);
}

TEST_CASE("Derive_KeyedFunctionWithoutKey_IsAnError") {
  const BoundNode node(DeriveDescriptor(), "columns:\n  v: rate(views)\n", kSchema);
  CHECK_FALSE(node);
  CHECK(node.diagnostics().find("key") != std::string::npos);
}

constexpr const char* kMotion =
    "key: [id]\ncolumns:\n  d: delta(views)\n  v: rate(views)\n  before: lag(views, 2)\n  v2: d * 10 + "
    "coalesce(lag(d), 0)\n";

Batch Motion() {
  return MakeRows(kSchema, {{.time_us = 1000000, .cells = {"a", 10, nullptr, nullptr}},
                            {.time_us = 1000000, .cells = {"b", 5, nullptr, nullptr}},
                            {.time_us = 3000000, .cells = {"a", 20, nullptr, nullptr}},
                            {.time_us = 3000000, .cells = {"a", 21, nullptr, nullptr}},  // no time passed
                            {.time_us = 4000000, .cells = {"a", 3, nullptr, nullptr}},   // fell
                            {.time_us = 5000000, .cells = {"a", nullptr, nullptr, nullptr}},
                            {.time_us = 6000000, .cells = {"a", 7, nullptr, nullptr}},  // over the null: 4 in 2 s
                            {.time_us = 6500000, .cells = {"b", 6, nullptr, nullptr}}});
}

std::vector<std::string> Tails(const std::vector<std::string>& rows) {
  std::vector<std::string> tails;
  for (const std::string& row : rows) tails.push_back(row.substr(row.find(" d=") + 1));
  return tails;
}

TEST_CASE("Derive_KeyedFunctions_FollowTheirRules") {
  const BoundNode node(DeriveDescriptor(), kMotion, kSchema);
  const Fed fed = Feed(node, Motion());
  CHECK(node->input_order == InputOrder::kByEventTime);
  CHECK_FALSE(node->stateless);
  CHECK(Tails(fed.rows) == std::vector<std::string>{
                               "d=null v=null before=null v2=null",
                               "d=null v=null before=null v2=null",
                               "d=10 v=5 before=null v2=100",
                               "d=1 v=null before=10 v2=20",
                               "d=-18 v=null before=20 v2=-179",
                               "d=null v=null before=21 v2=null",
                               "d=4 v=2 before=3 v2=40",
                               "d=1 v=0.18181818181818182 before=null v2=10",
                           });
  CHECK(fed.counters.nulled == 2);
}

TEST_CASE("Derive_KeyedFunctions_RestoreAnywhereGoesOn") {
  const BoundNode node(DeriveDescriptor(), kMotion, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  const std::vector<std::string> whole = Feed(node, Motion()).rows;
  for (int32_t cut = 0; cut <= 8; ++cut) {
    CAPTURE(cut);
    OperatorHarness before(node.bound(), {});
    before.Feed(Motion().Slice(0, cut));
    HarnessCheckpoint checkpoint;
    before.Snapshot(&checkpoint);
    OperatorHarness after(node.bound(), {.restore = &checkpoint});
    after.Feed(Motion().Slice(cut, 8 - cut));
    REQUIRE(after.status().ok());
    std::vector<std::string> rows = Rows(before);
    for (std::string& r : Rows(after)) rows.push_back(std::move(r));
    CHECK(rows == whole);
    CHECK(after.counters().nulled == 2);
  }
}

TEST_CASE("Derive_DeltaOverflow_IsNullAndCounted") {
  const Schema schema({{"x", TypeId::kInt64}});
  const BoundNode node(DeriveDescriptor(), "key: x\ncolumns: {d: delta(x)}", schema);
  const BoundNode keyed(DeriveDescriptor(), "key: k\ncolumns:\n  d: delta(x)\n  r: rate(x)\n",
                        Schema({{"k", TypeId::kInt64}, {"x", TypeId::kInt64}}));
  const Fed fed =
      Feed(keyed, MakeRows(Schema({{"k", TypeId::kInt64}, {"x", TypeId::kInt64}}),
                           {{.time_us = 0, .cells = {1, INT64_MIN}}, {.time_us = 1000000, .cells = {1, INT64_MAX}}}));
  CHECK(fed.rows[1].find("d=null r=1.8446744073709552e+19") != std::string::npos);
  CHECK(fed.counters.nulled == 1);
}

}  // namespace
}  // namespace freshet::testing
