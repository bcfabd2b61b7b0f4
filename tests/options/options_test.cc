#include <doctest/doctest.h>

#include "engine/options/diagnostics.h"
#include "engine/options/options_node.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

ConfigValue Scalar(std::string text, bool quoted = false) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar.value = std::move(text);
  value.quoted = quoted;
  return value;
}
ConfigValue List(std::vector<ConfigValue> items) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kSequence;
  value.items = std::move(items);
  return value;
}
ConfigValue Map(std::vector<std::pair<std::string, ConfigValue>> entries) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kMap;
  for (auto& [key, item] : entries) value.entries.push_back({{key, {}, {}}, std::move(item)});
  return value;
}
OptionSpec Spec(std::string name, OptionKind kind, std::string default_text = "") {
  OptionSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.default_text = std::move(default_text);
  return spec;
}

TEST_CASE("OptionsNode_GoodValues_AreReadByTheirType") {
  OptionSpec object = Spec("time", OptionKind::kObject);
  object.fields = {Spec("lateness", OptionKind::kDuration, "5s")};
  const std::vector<OptionSpec> specs = {
      Spec("n", OptionKind::kInt),        Spec("x", OptionKind::kFloat),         Spec("on", OptionKind::kBool),
      Spec("d", OptionKind::kDuration),   Spec("size", OptionKind::kSize),       Spec("t", OptionKind::kTime),
      Spec("key", OptionKind::kNameList), Spec("columns", OptionKind::kExprMap), object,
      Spec("any", OptionKind::kAny)};
  const ConfigValue value = Map({{"n", Scalar("1_000")},
                                 {"x", Scalar("-2.5e3")},
                                 {"on", Scalar("true")},
                                 {"d", Scalar("1h30m")},
                                 {"size", Scalar("64KiB")},
                                 {"t", Scalar("2024-05-01T02:00:00.5+02:00")},
                                 {"key", Scalar("id")},
                                 {"columns", Map({{"b", Scalar("x + 1")}, {"a", Scalar("y")}})},
                                 {"time", Map({{"lateness", Scalar("1d")}})},
                                 {"any", List({})}});
  Diagnostics diagnostics;
  const OptionsNode node = OptionsNode::Make(&value, &specs, {}, &diagnostics);
  CHECK_FALSE(diagnostics.has_errors());
  CHECK(node.GetInt("n") == 1000);
  CHECK(node.GetFloat("x") == -2500);
  CHECK(node.GetBool("on"));
  CHECK(node.GetDuration("d").us == 5400LL * 1000000);
  CHECK(node.GetInt("size") == 65536);
  CHECK(node.FindTime("t")->us == 1714521600500000LL);
  CHECK(node.GetList("key").size() == 1);
  CHECK(node.GetMap("columns")[0].first.value == "b");  // order kept
  CHECK(node.GetObject("time").GetDuration("lateness") == Duration::Seconds(86400));
  CHECK(node.Raw("any")->is_sequence());
}

TEST_CASE("OptionsNode_AbsentOptions_GiveDefaultsOrNothing") {
  OptionSpec object = Spec("time", OptionKind::kObject);
  object.fields = {Spec("lateness", OptionKind::kDuration, "5s")};
  const std::vector<OptionSpec> specs = {Spec("n", OptionKind::kInt, "3"), Spec("m", OptionKind::kInt), object,
                                         Spec("key", OptionKind::kNameList, "[a, b]"),
                                         Spec("e", OptionKind::kExpr, "x > 1")};
  Diagnostics diagnostics;
  const OptionsNode node = OptionsNode::Make(nullptr, &specs, {}, &diagnostics);
  CHECK(diagnostics.error_count() == 0);
  CHECK(node.GetInt("n") == 3);
  CHECK_FALSE(node.FindInt("m").has_value());
  CHECK_FALSE(node.Has("n"));
  CHECK(node.GetObject("time").GetDuration("lateness") == Duration::Seconds(5));
  REQUIRE(node.GetList("key").size() == 2);
  CHECK(node.GetList("key")[1].value == "b");
  CHECK(node.FindExpr("e")->value == "x > 1");
}

TEST_CASE("OptionsNode_BadValue_IsReportedOnceAndCountsAsAbsent") {
  OptionSpec count = Spec("count", OptionKind::kInt, "10");
  count.min = 1;
  count.max = 100;
  OptionSpec word = Spec("word", OptionKind::kEnum, "a");
  word.enum_values = {"a", "b"};
  const std::vector<OptionSpec> specs = {count, word, Spec("d", OptionKind::kDuration)};
  const ConfigValue value =
      Map({{"count", Scalar("500")}, {"word", Scalar("c")}, {"d", Scalar("soon")}, {"cuont", Scalar("5")}});
  Diagnostics diagnostics;
  const OptionsNode node = OptionsNode::Make(&value, &specs, {}, &diagnostics);
  CHECK(diagnostics.error_count() == 4);
  CHECK(node.GetInt("count") == 10);
  CHECK(node.GetString("word") == "a");
  CHECK_FALSE(node.FindDuration("d").has_value());
  CHECK(diagnostics.error_count() == 4);  // getters never report
}

TEST_CASE("OptionsNode_BrokenValue_StaysSilent") {
  OptionSpec spec = Spec("path", OptionKind::kPath);
  spec.required = true;
  ConfigValue broken = Scalar("");
  broken.broken = true;
  const ConfigValue value = Map({{"path", broken}});
  const std::vector<OptionSpec> specs = {spec};
  Diagnostics diagnostics;
  const OptionsNode node = OptionsNode::Make(&value, &specs, {}, &diagnostics);
  CHECK(diagnostics.error_count() == 0);
  CHECK(node.GetString("path").empty());
}

TEST_CASE("OptionsNode_SecretOfTheWrongKind_IsNotPrinted") {
  ConfigValue secret = Scalar("hunter2");
  secret.secret = true;
  OptionSpec word = Spec("word", OptionKind::kEnum);
  word.enum_values = {"a"};
  const ConfigValue value = Map({{"d", secret}, {"n", secret}, {"word", secret}});
  const std::vector<OptionSpec> specs = {Spec("d", OptionKind::kDuration), Spec("n", OptionKind::kInt), word};
  Diagnostics diagnostics;
  (void)OptionsNode::Make(&value, &specs, {}, &diagnostics);
  CHECK(diagnostics.error_count() == 3);
  CHECK(diagnostics.Render().find("hunter2") == std::string::npos);
}

std::shared_ptr<const SourceText> Text(std::string bytes) {
  return std::make_shared<SourceText>(SourceText{"a.yaml", std::move(bytes)});
}

TEST_CASE("Diagnostics_Render_ShowsLineCaretAndSuggestion") {
  const auto text = Text("name: x\nsürces: {}\n");
  Diagnostics diagnostics;
  diagnostics.Error("FR9999", {text, 2, 8, 4, {}}, "no", "did you mean yes?");
  // The caret counts characters, the column bytes.
  CHECK(diagnostics.Render() ==
        "a.yaml:2:8: error: no [FR9999]\n"
        "  2 | sürces: {}\n"
        "    |       ^~~~\n"
        "  = did you mean yes?\n");
  CHECK(diagnostics.Render(true).find("\x1b[1;31m") != std::string::npos);
}

TEST_CASE("Diagnostics_Sorted_OrdersByPlaceAndDropsDuplicates") {
  const auto text = Text("a\nb\nc\n");
  Diagnostics diagnostics;
  diagnostics.Error("FR1", {text, 3, 1, 1, {}}, "third");
  diagnostics.Warning("FR1", {text, 1, 2, 1, {}}, "second");
  diagnostics.Error("FR1", {text, 1, 1, 1, {}}, "first");
  diagnostics.Error("FR1", {text, 3, 1, 1, {}}, "third");
  const std::vector<Diagnostic> sorted = diagnostics.Sorted();
  REQUIRE(sorted.size() == 3);
  CHECK(sorted[0].message == "first");
  CHECK(sorted[1].message == "second");
  CHECK(sorted[2].message == "third");
}

TEST_CASE("Diagnostics_LongLine_IsCutAroundTheCaret") {
  const auto text = Text(std::string(1000, 'x') + "HERE" + std::string(1000, 'y'));
  Diagnostics diagnostics;
  diagnostics.Error("FR1", {text, 1, 1001, 4, {}}, "long");
  const std::string shown = diagnostics.Render();
  CHECK(shown.size() < 500);
  const size_t here = shown.find("HERE");
  const size_t caret = shown.find('^');
  REQUIRE(here != std::string::npos);
  CHECK(here - shown.rfind('\n', here) == caret - shown.rfind('\n', caret));
}

TEST_CASE("Diagnostics_PlaceBeyondTheText_DoesNotCrash") {
  const auto text = Text("a\n");
  Diagnostics diagnostics;
  diagnostics.Error("FR1", {text, 9, 40, 3, {}}, "beyond");
  diagnostics.Error("FR1", {text, 1, 40, 3, {}}, "beyond");
  diagnostics.Error("FR1", {nullptr, 1, 40, 3, {}}, "nowhere");
  diagnostics.Error("FR1", {}, "nowhere at all");
  CHECK(diagnostics.Render().find("error: nowhere at all") != std::string::npos);
}

TEST_CASE("ParseTimeText_ValidAndInvalidMoments") {
  CHECK(ParseTimeText("1970-01-01")->us == 0);
  CHECK(ParseTimeText("2024-02-29T23:59:59.123456Z")->us == 1709251199123456LL);
  CHECK(ParseTimeText("1969-12-31T23:59:59Z")->us == -1000000);
  CHECK(ParseTimeText("2024-01-01 00:30-01:30")->us == ParseTimeText("2024-01-01T02:00:00Z")->us);
  for (const char* bad : {"", "2023-02-29", "2024-13-01", "2024-01-01T", "2024-01-01T25:00", "2024-01-01T00:00:00+1",
                          "yesterday", "2024-01-01Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00Zx"}) {
    CAPTURE(std::string(bad));
    CHECK_FALSE(ParseTimeText(bad).ok());
  }
}

}  // namespace
}  // namespace freshet
