#include <doctest/doctest.h>

#include "connectors/file/file_source.h"
#include "connectors/stdin/stdin_source.h"

namespace freshet {
namespace {

ConfigValue Scalar(const std::string& text) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar.value = text;
  return value;
}

ConfigValue Map(std::vector<std::pair<std::string, ConfigValue>> entries) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kMap;
  for (auto& [key, entry] : entries) value.entries.push_back({Scalar(key).scalar, std::move(entry)});
  return value;
}

struct Bound {
  Diagnostics diagnostics;
  std::optional<BoundSource> source;
  std::string problems() const {
    std::string all;
    for (const Diagnostic& d : diagnostics.Sorted()) all += d.code + " " + d.message + " (" + d.suggestion + ")\n";
    return all;
  }
};

void Bind(const NodeDescriptor& descriptor, const ConfigValue& value, Bound* bound,
          const std::vector<std::string>* needed = nullptr) {
  BindContext context;
  context.node_id = "edits";
  context.directory = "/pipelines";
  context.diagnostics = &bound->diagnostics;
  context.env = Env::Posix();
  context.needed = needed;
  const OptionsNode options = OptionsNode::Make(&value, &descriptor.options, {"type"}, &bound->diagnostics);
  if (!bound->diagnostics.has_errors()) bound->source = descriptor.make_source(options, context);
}

const ConfigValue kSchema = Map(
    {{"id", Scalar("string")},
     {"title", Map({{"type", Scalar("string")}, {"path", Scalar("snippet.title")}})},
     {"at", Map({{"type", Scalar("timestamp")}, {"pattern", Scalar("%d.%m.%Y")}, {"zone", Scalar("Europe/Berlin")}})}});

TEST_CASE("FileSource_Bound_HasTheColumnsThatAreRead") {
  const NodeDescriptor descriptor = FileSourceDescriptor();
  const ConfigValue value = Map({{"path", Scalar("edits.ndjson.gz")}, {"schema", kSchema}});
  Bound all;
  Bind(descriptor, value, &all);
  CHECK(all.problems() == "");
  REQUIRE(all.source.has_value());
  CHECK(all.source->schema->ToString() == "id: string, title: string, at: timestamp");
  CHECK(all.source->bounded);
  const std::vector<std::string> needed = {"at"};
  Bound few;
  Bind(descriptor, value, &few, &needed);
  REQUIRE(few.source.has_value());
  CHECK(few.source->schema->ToString() == "at: timestamp");
}

TEST_CASE("FileSource_MistakesInOptions_AreAllReported") {
  const NodeDescriptor descriptor = FileSourceDescriptor();
  const ConfigValue schema = Map({{"a", Scalar("strnig")},
                                  {"b", Map({{"type", Scalar("int64")}, {"pattern", Scalar("%Y")}})},
                                  {"c", Map({{"type", Scalar("timestamp")}, {"zone", Scalar("Mars/Olympus")}})},
                                  {"d", Map({{"type", Scalar("string")}, {"paht", Scalar("x")}})},
                                  {"e", Map({{"type", Scalar("string")}, {"path", Scalar("x..y")}})}});
  Bound bound;
  Bind(descriptor, Map({{"path", Scalar("edits.log")}, {"schema", schema}, {"delimiter", Scalar(";;")}}), &bound);
  CHECK_FALSE(bound.source.has_value());
  for (const char* part : {"FR2401 `strnig`", "did you mean `string`", "FR2404", "FR2405", "Mars/Olympus", "FR2402",
                           "did you mean `path`", "FR2403", "FR2410", "FR2411"}) {
    CAPTURE(std::string(part));
    CHECK(bound.problems().find(part) != std::string::npos);
  }
  Bound by_time;
  Bind(descriptor,
       Map({{"path", Scalar("a.csv")}, {"schema", kSchema}, {"read", Scalar("by_time")}, {"follow", Scalar("true")}}),
       &by_time);
  CHECK(by_time.problems().find("FR2420") != std::string::npos);
  Bound good;
  Bind(descriptor, Map({{"path", Scalar("a.ndjson")}, {"schema", kSchema}, {"read", Scalar("by_time")}}), &good);
  CHECK(good.problems() == "");
  REQUIRE(good.source.has_value());
  CHECK(good.source->by_time);
}

TEST_CASE("StdinSource_Bound_IsNdjsonByDefault") {
  Bound bound;
  Bind(StdinSourceDescriptor(), Map({{"schema", kSchema}}), &bound);
  CHECK(bound.problems() == "");
  REQUIRE(bound.source.has_value());
  CHECK(bound.source->explain.front() == std::pair<std::string, std::string>("format", "ndjson"));
}

}  // namespace
}  // namespace freshet
