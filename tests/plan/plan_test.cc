#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/batch/column_builder.h"
#include "engine/plan/expand.h"
#include "engine/plan/explain.h"
#include "engine/plan/pipeline.h"
#include "engine/plan/reference.h"
#include "engine/plan/time_field.h"
#include "engine/plan/yaml_reader.h"
#include "tests/plan/fake_registry.h"

namespace freshet {
namespace {

const Registry& Types() {
  static const Registry registry = FakeRegistry();
  return registry;
}

std::shared_ptr<const SourceText> Text(std::string bytes, std::string name = "dir/p.yaml") {
  return std::make_shared<SourceText>(SourceText{std::move(name), std::move(bytes)});
}

struct Loaded {
  std::optional<Pipeline> pipeline;
  std::string report;
};

Loaded Load(std::string text, LoadOptions options = {},
            std::map<std::string, std::string> variables = {{"HOME", "/home/me"}}) {
  TreeEnv env;
  env.variables = std::move(variables);
  options.registry = &Types();
  options.env = &env;
  Diagnostics diagnostics;
  Loaded loaded;
  loaded.pipeline = LoadPipeline(Text(std::move(text)), options, &diagnostics);
  loaded.report = diagnostics.Render();
  return loaded;
}

constexpr const char* kPlays = R"(
sources:
  plays:
    type: rows
    path: plays.csv
    schema: {id: string, title: string, at: timestamp, views: int64, likes: int64}
    time: {field: at, lateness: 1m}
)";

TEST_CASE("LoadPipeline_WindowReadsTwoColumns_SourceGivesThoseAndTheTime") {
  const Loaded l = Load(std::string(kPlays) + R"(
operators:
  many: {type: filter, inputs: [plays], where: likes > 1}
  w: {type: window, inputs: [many], every: 10s, key: id, metric: views}
sinks:
  out: {type: print, inputs: [w]}
)");
  REQUIRE_MESSAGE(l.pipeline, l.report);
  CHECK(*l.pipeline->nodes[0].needed == std::vector<std::string>{"id", "at", "views", "likes"});
  CHECK(std::get<SourceNode>(l.pipeline->graph.nodes[0].kind).bound.schema->size() == 4);
  CHECK(l.pipeline->nodes[0].full_schema->size() == 5);
  // Indices are those of the narrower schema.
  const BoundOperator& w = std::get<OperatorNode>(l.pipeline->graph.nodes[2].kind).bound;
  CHECK(*w.key == std::vector<int>{0});
}

TEST_CASE("LoadPipeline_SinkReadsRows_SourceGivesAllColumns") {
  const Loaded filtered = Load(std::string(kPlays) + R"(
operators:
  many: {type: filter, inputs: [plays], where: likes > 1}
sinks:
  out: {type: print, inputs: [many]}
)");
  REQUIRE(filtered.pipeline);
  CHECK_FALSE(filtered.pipeline->nodes[0].needed.has_value());
  // A `late` output that a sink reads carries all the input's columns too.
  const Loaded late = Load(std::string(kPlays) + R"(
operators:
  w: {type: window, inputs: [plays], every: 10s, metric: views}
sinks:
  out: {type: print, inputs: [w, w.late]}
)");
  REQUIRE(late.pipeline);
  CHECK_FALSE(late.pipeline->nodes[0].needed.has_value());
}

TEST_CASE("LoadPipeline_TwoConsumers_NeedTheUnion") {
  const Loaded l = Load(std::string(kPlays) + R"(
operators:
  a: {type: window, inputs: [plays], every: 10s, metric: views}
  b: {type: window, inputs: [plays], every: 10s, metric: likes}
sinks:
  out: {type: print, inputs: [a, b]}
)");
  REQUIRE(l.pipeline);
  CHECK(*l.pipeline->nodes[0].needed == std::vector<std::string>{"at", "views", "likes"});
}

TEST_CASE("LoadPipeline_DerivedNames_AreNotAskedOfTheSource") {
  const Loaded l = Load(std::string(kPlays) + R"(
operators:
  more: {type: derive, inputs: [plays], columns: {both: views + likes}}
  w: {type: window, inputs: [more], every: 10s, metric: both}
sinks:
  out: {type: print, inputs: [w]}
)");
  REQUIRE(l.pipeline);
  CHECK(*l.pipeline->nodes[0].needed == std::vector<std::string>{"at", "views", "likes"});
}

TEST_CASE("LoadPipeline_NodesOutOfOrder_AreSorted") {
  const Loaded l = Load(std::string(kPlays) + R"(
operators:
  c: {type: filter, inputs: [b], where: views > 1}
  b: {type: filter, inputs: [a], where: views > 1}
  a: {type: filter, inputs: [plays], where: views > 1}
sinks:
  out: {type: print, inputs: [c]}
)");
  REQUIRE(l.pipeline);
  std::string ids;
  for (const NodeSpec& node : l.pipeline->graph.nodes) ids += node.id + " ";
  CHECK(ids == "plays a b c out ");
  CHECK(l.pipeline->graph.nodes[4].inputs[0] == PortRef{3, 0});
  CHECK(l.pipeline->Find("b") == 2);
  CHECK(l.pipeline->Find("nobody") == -1);
}

TEST_CASE("LoadPipeline_Set_OverridesOptionsAndAddsThem") {
  LoadOptions options;
  options.sets = {"sources.plays.path=other.csv", "settings.checkpoint.every=3s", "name=renamed",
                  "sinks.out.inputs=[plays]", "sources.plays.time.lateness=7s"};
  const Loaded l = Load(std::string(kPlays) + "sinks:\n  out: {type: print, inputs: [nobody]}\n", options);
  REQUIRE_MESSAGE(l.pipeline, l.report);
  CHECK(l.pipeline->name() == "renamed");
  CHECK(l.pipeline->settings().checkpoint_every == Duration::Seconds(3));
  CHECK(l.pipeline->settings().checkpoint_path == "/home/me/.local/state/freshet/renamed");
  const SourceNode& source = std::get<SourceNode>(l.pipeline->graph.nodes[0].kind);
  CHECK(source.time.lateness == Duration::Seconds(7));
  CHECK(source.bound.explain[0].second == "other.csv");
}

TEST_CASE("LoadPipeline_StatePath_FollowsTheEnvironmentAndTheFile") {
  const std::string text = std::string(kPlays) + "sinks:\n  out: {type: print, inputs: [plays]}\n";
  CHECK(Load(text, {}, {{"FRESHET_STATE", "/var/x"}}).pipeline->settings().checkpoint_path == "/var/x");
  CHECK(Load(text, {}, {{"XDG_STATE_HOME", "/s"}}).pipeline->settings().checkpoint_path == "/s/freshet/p");
  const std::string in_file = "settings: {checkpoint: {path: st}}\n" + text;
  CHECK(Load(in_file).pipeline->settings().checkpoint_path == "dir/st");
  LoadOptions options;
  options.sets = {"settings.checkpoint.path=st"};
  CHECK(Load(text, options).pipeline->settings().checkpoint_path == "st");
}

TEST_CASE("LoadPipeline_PathFromAVariable_IsRelativeToTheCurrentDirectory") {
  std::string text = std::string(kPlays) + "sinks:\n  out: {type: print, inputs: [plays]}\n";
  text.replace(text.find("plays.csv"), 9, "${DATA}");
  const Loaded l = Load(text, {}, {{"DATA", "d/a.csv"}, {"HOME", "/h"}});
  REQUIRE(l.pipeline);
  const std::string path = std::get<SourceNode>(l.pipeline->graph.nodes[0].kind).bound.explain[0].second;
  CHECK(path.front() == '/');
  CHECK(path.substr(path.size() - 8) == "/d/a.csv");
}

TEST_CASE("LoadPipeline_Secret_ReachesTheNodeAndNothingElse") {
  const std::string text =
      std::string(kPlays) + "sinks:\n  out: {type: send, inputs: [plays], token: {secret: env:TOKEN}}\n";
  const Loaded l = Load(text, {}, {{"TOKEN", "hunter2"}});
  REQUIRE_MESSAGE(l.pipeline, l.report);
  CHECK(l.pipeline->file->nodes[1].config.Find("token")->text() == "hunter2");
  CHECK((ExplainText(*l.pipeline) + ExplainDot(*l.pipeline) + ExplainMermaid(*l.pipeline)).find("hunter2") ==
        std::string::npos);
  CHECK_FALSE(Load(text, {}, {}).pipeline.has_value());
  LoadOptions without;
  without.require_secrets = false;
  CHECK(Load(text, without, {}).pipeline.has_value());
}

TEST_CASE("LoadPipeline_LiveSource_GuardsTheFutureByDefault") {
  std::string text = std::string(kPlays) + "    follow: true\nsinks:\n  out: {type: print, inputs: [plays]}\n";
  const Loaded live = Load(text);
  REQUIRE_MESSAGE(live.pipeline, live.report);
  CHECK(std::get<SourceNode>(live.pipeline->graph.nodes[0].kind).time.max_future == Duration::Seconds(60));
  text.replace(text.find("follow: true"), 12, "on_error: skip");
  const Loaded bounded = Load(text);
  const SourceNode& source = std::get<SourceNode>(bounded.pipeline->graph.nodes[0].kind);
  CHECK_FALSE(source.time.max_future.has_value());
  CHECK(source.on_error == OnError::kSkip);
  CHECK(source.credit_rows == kSourceCreditRows);
  CHECK(source.credit_bytes == kSourceCreditBytes);
}

TEST_CASE("LoadPipeline_MissingFileAndEndlessFile_AreReported") {
  TreeEnv env;
  LoadOptions options;
  options.registry = &Types();
  options.env = &env;
  Diagnostics missing;
  CHECK_FALSE(LoadPipeline("no/such.yaml", options, &missing).has_value());
  CHECK(missing.Sorted()[0].code == "FR1001");
  for (const std::string& bytes : {std::string("a: ") + std::string(100, '[') + std::string(100, ']'),
                                   std::string("a: ") + std::string(20000, '['), std::string("a: [") + [] {
                                     std::string s;
                                     for (int i = 0; i < 100001; ++i) s += "1,";
                                     return s;
                                   }() + "]"}) {
    Diagnostics limits;
    CHECK_FALSE(ReadYaml(Text(bytes), &limits).has_value());
    REQUIRE(limits.error_count() == 1);
    CHECK(limits.Sorted()[0].code == "FR1004");
  }
}

TEST_CASE("ReadYaml_AliasesThatMultiply_AreCounted") {
  std::string bytes = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bytes += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) bytes += ", " + before;
    bytes += "]\n";
  }
  Diagnostics diagnostics;
  CHECK_FALSE(ReadYaml(Text(bytes), &diagnostics).has_value());
  CHECK(diagnostics.Sorted()[0].code == "FR1004");
}

TEST_CASE("ReadYaml_EveryStyle_MapsOffsetsToTheFile") {
  const std::string bytes =
      "plain: aa bb  cc\n"
      "folded: aa\n   bb\n   cc\n"
      "single: 'it''s cc'\n"
      "double: \"a\\tb\\u00e9 cc\"\n"
      "anchored: &x  !!str \"aa cc\"\n"
      "literal: |\n  aa\n    bb\n\n  cc\n"
      "fold: >-\n  aa\n  bb\n\n  cc\n"
      "comment:   # why\n  cc\n";
  Diagnostics diagnostics;
  const auto text = Text(bytes);
  const std::optional<ConfigValue> root = ReadYaml(text, &diagnostics);
  REQUIRE(root.has_value());
  CHECK(root->entries.size() == 8);
  for (const ConfigValue::Entry& entry : root->entries) {
    CAPTURE(entry.key.value);
    const size_t at = entry.value.text().find("cc");
    REQUIRE(at != std::string::npos);
    const SourceSpan span = entry.value.scalar.At(static_cast<int32_t>(at), 2);
    size_t offset = 0;
    for (int line = 1; line < span.line; ++line) offset = bytes.find('\n', offset) + 1;
    CHECK(bytes.substr(offset + static_cast<size_t>(span.column) - 1, static_cast<size_t>(span.length)) == "cc");
  }
}

TEST_CASE("ReadYaml_MergeKeys_ExplicitOnesWin") {
  Diagnostics diagnostics;
  const auto root =
      ReadYaml(Text("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  z: 5\n  <<: [*a, *b]\n"), &diagnostics);
  REQUIRE(root.has_value());
  const ConfigValue& c = *root->Find("c");
  CHECK(c.Find("x")->text() == "1");
  CHECK(c.Find("y")->text() == "2");
  CHECK(c.Find("z")->text() == "5");
  CHECK(c.Find("x")->span().used_at->line == 5);
  CHECK(diagnostics.error_count() == 0);
}

TEST_CASE("ReadYaml_RandomBytes_NeverCrash") {
  uint64_t state = 42;
  const std::string alphabet = "ab:-[]{},&*!|>'\"%#\n \t\\?(0)$<";
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (int i = 0; i < 40; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes += alphabet[(state >> 33) % alphabet.size()];
    }
    CAPTURE(bytes);
    Diagnostics diagnostics;
    const std::optional<ConfigValue> root = ReadYaml(Text(bytes), &diagnostics);
    CHECK((root.has_value() || diagnostics.has_errors()));
    (void)diagnostics.Render();
  }
}

TEST_CASE("LoadPipeline_MutatedFiles_NeverCrash") {
  const std::string whole = std::string("settings: {parallelism: 2, checkpoint: {every: 5s}}\n") + kPlays + R"yaml(
operators:
  more: {type: derive, inputs: [plays], columns: {both: 'round(views, ${DIGITS:-2})'}}
  w: &w {type: window, inputs: [more], every: 10s, key: id, metric: both}
  v:
    <<: *w
    inputs: [more]
sinks:
  out: {type: send, inputs: [w.late], token: {secret: env:TOKEN}}
  all: {type: print, inputs: [w, v, plays.dead_letter]}
tests:
  - name: x
    feed: {plays: [{id: a}, {advance: 2024-01-01}]}
    expect: {w: [{id: a}], out: {never: true}}
)yaml";
  const std::map<std::string, std::string> variables = {{"TOKEN", "t"}};
  const Loaded untouched = Load(whole, {}, variables);
  REQUIRE_MESSAGE(untouched.pipeline, untouched.report);
  const char* const wanted = std::getenv("FRESHET_FUZZ_ROUNDS");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 300;
  uint64_t state = 7;
  const auto next = [&](size_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<size_t>(state >> 33) % below;
  };
  for (int round = 0; round < rounds; ++round) {
    std::string text = whole;
    for (size_t edits = 1 + next(4); edits > 0; --edits) {
      const size_t at = next(text.size());
      const std::string piece = text.substr(at, next(12));
      if (next(2) == 0)
        text.erase(at, piece.size());
      else
        text.insert(next(text.size()), piece);
    }
    CAPTURE(round);
    LoadOptions options;
    if (next(3) == 0) options.sets = {text.substr(next(text.size()), 20)};
    const Loaded l = Load(text, options, variables);
    CHECK((l.pipeline.has_value() || l.report.find("error: ") != std::string::npos));
    if (l.pipeline) (void)ExplainText(*l.pipeline);
  }
}

Batch OneColumn(const SchemaRef& schema, Column column) {
  const int32_t rows = column.length();
  return Batch(schema, {std::move(column)}, rows, {});
}

TEST_CASE("BindTimeField_Numbers_AreReadByMagnitudeOrPattern") {
  const auto schema = std::make_shared<const Schema>(std::vector<Field>{{"t", TypeId::kInt64}});
  Diagnostics diagnostics;
  const SpannedText field{"t", {}, {}};
  const auto by_size = BindTimeField(field, std::nullopt, std::nullopt, *schema, &diagnostics);
  REQUIRE(by_size.has_value());
  ColumnBuilder builder(TypeId::kInt64);
  const std::vector<int64_t> values = {1700000000, 1700000000000, 1700000000000000, 1700000000000000000, -1};
  for (const int64_t v : values) builder.AppendInt64(v);
  builder.AppendNull();
  const Batch batch = OneColumn(schema, builder.Finish());
  const Column times = by_size->evaluate(batch);
  for (int row = 0; row < 4; ++row) CHECK(times.int64s()[row] == 1700000000000000LL);
  CHECK(times.int64s()[4] == -1000000);
  CHECK(times.IsNull(5));
  CHECK(by_size->columns == std::vector<std::string>{"t"});
  const auto millis = BindTimeField(field, SpannedText{"epoch_ms", {}, {}}, std::nullopt, *schema, &diagnostics);
  REQUIRE(millis.has_value());
  const Column as_millis = millis->evaluate(batch);
  CHECK(as_millis.int64s()[0] == 1700000000000LL);
  CHECK(as_millis.IsNull(3));  // does not fit
}

TEST_CASE("BindTimeField_Text_IsReadByPatternOrAsRfc3339") {
  const auto schema = std::make_shared<const Schema>(std::vector<Field>{{"t", TypeId::kString}});
  Diagnostics diagnostics;
  const SpannedText field{"t", {}, {}};
  ColumnBuilder builder(TypeId::kString);
  for (const char* text : {"2024-05-01T00:00:00Z", "01.05.2024", "soon"}) builder.AppendString(text);
  const Batch batch = OneColumn(schema, builder.Finish());
  const auto plain = BindTimeField(field, std::nullopt, std::nullopt, *schema, &diagnostics);
  REQUIRE(plain.has_value());
  const Column times = plain->evaluate(batch);
  CHECK(times.int64s()[0] == 1714521600000000LL);
  CHECK(times.IsNull(1));
  CHECK(times.IsNull(2));
  const auto pattern = BindTimeField(field, SpannedText{"%d.%m.%Y", {}, {}}, std::nullopt, *schema, &diagnostics);
  REQUIRE_MESSAGE(pattern.has_value(), diagnostics.Render());
  const Column by_pattern = pattern->evaluate(batch);
  CHECK(by_pattern.IsNull(0));
  CHECK(by_pattern.int64s()[1] == 1714521600000000LL);
  const auto zoned = BindTimeField(field, SpannedText{"%d.%m.%Y", {}, {}}, SpannedText{"Europe/Berlin", {}, {}},
                                   *schema, &diagnostics);
  REQUIRE_MESSAGE(zoned.has_value(), diagnostics.Render());
  CHECK(zoned->evaluate(batch).int64s()[1] == 1714521600000000LL - 7200LL * 1000000);
}

constexpr const char* kExplained = R"(
operators:
  many: {type: filter, inputs: [plays], where: likes > 1}
  w: {type: window, inputs: [many], every: 10s, key: id, metric: views}
sinks:
  out: {type: print, inputs: [w, plays.dead_letter]}
)";

TEST_CASE("ExplainText_NamesWhatRunsAndWhatIsRead") {
  const Loaded l = Load(std::string(kPlays) + kExplained);
  REQUIRE(l.pipeline);
  CHECK(ExplainText(*l.pipeline, {{1, {0, "fused with plays"}}}) ==
        "pipeline p\n"
        "\n"
        "plays: source rows\n"
        "  path: plays.csv\n"
        "  input: bounded\n"
        "  time: at, lateness 1m\n"
        "  columns: id, at, views, likes (4 of 5)\n"
        "\n"
        "many: operator filter  [fused with plays]\n"
        "  from: plays (source order)\n"
        "  where: likes > 1\n"
        "  state: none\n"
        "\n"
        "w: operator window\n"
        "  from: many (input order)\n"
        "  key: id\n"
        "  state: by key, in lanes\n"
        "  rows out: by time\n"
        "\n"
        "out: sink print\n"
        "  from: w (by time), plays.dead_letter (source order)\n"
        "  format: text\n"
        "  delivery: at least once\n");
}

TEST_CASE("ExplainDot_AndMermaid_ShowNodesEdgesAndGroups") {
  const Loaded l = Load(std::string(kPlays) + kExplained);
  REQUIRE(l.pipeline);
  const PlanGroups groups = {{0, {0, ""}}, {1, {0, ""}}};
  const std::string dot = ExplainDot(*l.pipeline, groups);
  CHECK(dot.find("subgraph cluster_0") != std::string::npos);
  CHECK(dot.find("n0 -> n3 [label=\"dead_letter\"];") != std::string::npos);
  const std::string mermaid = ExplainMermaid(*l.pipeline, groups);
  CHECK(mermaid.find("flowchart LR\n") == 0);
  CHECK(mermaid.find("n0 -- dead_letter --> n3") != std::string::npos);
}

TEST_CASE("Help_TypeWithASecret_DoesNotPrintItsValue") {
  const std::string help = HelpType(Types(), "rows");
  CHECK(help.find("token: {secret: env:NAME}") != std::string::npos);
  CHECK(help.find("hunter2") == std::string::npos);  // the fake type has it as a default
  CHECK(PipelineJsonSchema(Types()).find("hunter2") == std::string::npos);
  CHECK(help.find("count: int  (default 10, 1 to 100)") != std::string::npos);
  CHECK(help.find("lateness: duration") != std::string::npos);
  CHECK(HelpType(Types(), "nothing").empty());
  CHECK(NearestType(Types(), "filtre") == "filter");
  CHECK(HelpType(Types(), "settings").find("checkpoint") != std::string::npos);
}

TEST_CASE("JsonSchema_IsYamlTooAndKnowsEveryOption") {
  // JSON is YAML, so our own reader checks that it is well formed.
  Diagnostics diagnostics;
  const auto schema = ReadYaml(Text(PipelineJsonSchema(Types())), &diagnostics);
  REQUIRE_MESSAGE(schema.has_value(), diagnostics.Render());
  CHECK(diagnostics.error_count() == 0);
  const ConfigValue* sources = schema->Find("properties")->Find("sources")->Find("additionalProperties");
  const ConfigValue* rows = sources->Find("allOf")->items[0].Find("then")->Find("properties");
  for (const char* name : {"type", "path", "schema", "time", "on_error"}) {
    CAPTURE(std::string(name));
    CHECK(rows->Find(name) != nullptr);
  }
  CHECK(rows->Find("inputs") == nullptr);
}

TEST_CASE("Tests_Section_KeepsStepsAndExpectations") {
  const Loaded l = Load(std::string(kPlays) + kExplained + R"(
tests:
  - name: two
    feed: {plays: [{id: a, at: 2024-01-01}, {advance: 2024-01-02}, {idle: true}]}
    expect:
      w: [{id: a, total: 3}]
      w.late: {never: true}
)");
  REQUIRE_MESSAGE(l.pipeline, l.report);
  REQUIRE(l.pipeline->tests().size() == 1);
  const PipelineTest& test = l.pipeline->tests()[0];
  CHECK(test.name == "two");
  REQUIRE(test.feed[0].steps.size() == 3);
  CHECK(test.feed[0].steps[0].row.cells[1].value.text() == "2024-01-01");
  CHECK(test.feed[0].steps[1].advance.us == 1704153600000000LL);
  CHECK(test.feed[0].steps[2].kind == TestStep::Kind::kIdle);
  REQUIRE(test.expect.size() == 2);
  CHECK(test.expect[1].node == "w");
  CHECK(test.expect[1].output == "late");
  CHECK(test.expect[1].rows.empty());
}

}  // namespace
}  // namespace freshet
