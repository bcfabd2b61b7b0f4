#include <doctest/doctest.h>

#include "connectors/blackhole/blackhole.h"
#include "connectors/console/console.h"
#include "connectors/file_sink/file_sink.h"
#include "connectors/generate/generate.h"
#include "connectors/host/host.h"
#include "connectors/webhook/webhook.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {

ConfigValue Scalar(const std::string& text) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar.value = text;
  return value;
}

/// A node as the reader would give it: one scalar per option.
ConfigValue Node(const std::vector<std::pair<std::string, std::string>>& options) {
  ConfigValue node;
  node.kind = ConfigValue::Kind::kMap;
  for (const auto& [name, text] : options) {
    ConfigValue::Entry entry;
    entry.key.value = name;
    entry.value = Scalar(text);
    node.entries.push_back(std::move(entry));
  }
  return node;
}

/// A node type bound to options; `errors` counts what was wrong with them.
struct Bound {
  Bound(const NodeDescriptor& descriptor, ConfigValue value, std::vector<const Schema*> inputs = {},
        const std::vector<std::string>* needed = nullptr, std::vector<bool> alerts = {})
      : node(std::move(value)) {
    const OptionsNode options = OptionsNode::Make(&node, &descriptor.options, {}, &diagnostics);
    BindContext bind;
    bind.pipeline_name = "p";
    bind.node_id = "n";
    bind.directory = "/pipelines";
    bind.inputs = std::move(inputs);
    for (size_t i = 0; i < bind.inputs.size(); ++i) bind.input_names.push_back("in" + std::to_string(i));
    bind.alert_inputs = std::move(alerts);
    bind.diagnostics = &diagnostics;
    bind.env = Env::Posix();
    bind.needed = needed;
    if (descriptor.make_source) source = descriptor.make_source(options, bind);
    if (descriptor.make_sink) sink = descriptor.make_sink(options, bind);
    errors = diagnostics.error_count();
  }
  std::string Explained(const std::string& name) const {
    const auto& lines = source ? source->explain : sink->explain;
    for (const auto& [key, text] : lines)
      if (key == name) return text;
    return {};
  }
  ConfigValue node;
  Diagnostics diagnostics;
  std::optional<BoundSource> source;
  std::optional<BoundSink> sink;
  int errors = 0;
};

TEST_CASE("Connectors_DefaultOptions_Bind") {
  const Bound generate(GenerateDescriptor(), Node({}));
  REQUIRE(generate.source.has_value());
  CHECK(generate.errors == 0);
  CHECK(generate.source->bounded);
  CHECK(generate.Explained("events") == "1,000,000");
  const Bound host(HostDescriptor(), Node({}));
  REQUIRE(host.source.has_value());
  CHECK(!host.source->bounded);
  const Bound console(ConsoleDescriptor(), Node({}));
  REQUIRE(console.sink.has_value());
  CHECK(console.sink->restartable);
  CHECK(console.Explained("format") == "ndjson");
  const Bound blackhole(BlackholeDescriptor(), Node({}));
  REQUIRE(blackhole.sink.has_value());
  CHECK(!blackhole.sink->blocking);
  const Bound webhook(WebhookDescriptor(), Node({{"url", "https://hooks.example.com/T0/key"}}));
  REQUIRE(webhook.sink.has_value());
  CHECK(webhook.sink->delivery == Delivery::kEffectivelyOnce);
  CHECK(webhook.sink->make_network_sink != nullptr);
  CHECK(webhook.Explained("to") == "https://hooks.example.com");
}

TEST_CASE("FileSink_Path_ResolvesAndDecidesFormat") {
  const Bound csv(FileSinkDescriptor(), Node({{"path", "out/x.csv.gz"}}));
  REQUIRE(csv.sink.has_value());
  CHECK(csv.Explained("path") == "/pipelines/out/x.csv.gz");
  CHECK(csv.Explained("format") == "csv");
  CHECK(csv.Explained("compression") == "gzip");
  CHECK(csv.sink->delivery == Delivery::kExactlyOnce);
  const Bound named(FileSinkDescriptor(), Node({{"path", "/tmp/x.csv"}, {"format", "ndjson"}}));
  CHECK(named.Explained("format") == "ndjson");
  const Bound stream(FileSinkDescriptor(), Node({{"path", "/dev/stdout"}}));
  CHECK(stream.sink->delivery == Delivery::kAtLeastOnce);
}

TEST_CASE("Connectors_WrongOptions_AreReportedNotBound") {
  CHECK(Bound(FileSinkDescriptor(), Node({})).errors == 1);
  CHECK(Bound(FileSinkDescriptor(), Node({{"path", "x.zst"}})).errors == 1);
  CHECK(Bound(FileSinkDescriptor(), Node({{"path", "x"}, {"if_exists", "maybe"}})).errors == 1);
  CHECK(Bound(WebhookDescriptor(), Node({})).errors == 1);
  CHECK(Bound(WebhookDescriptor(), Node({{"url", "ftp://x/"}})).errors == 1);
  CHECK(Bound(WebhookDescriptor(), Node({{"url", "http://x/"}, {"timeout", "soon"}})).errors == 1);
  CHECK(Bound(WebhookDescriptor(), Node({{"url", "http://x/"}, {"on_reject", "drop"}})).errors == 1);
  CHECK(Bound(GenerateDescriptor(), Node({{"rate", "fast"}})).errors == 1);
  CHECK(Bound(GenerateDescriptor(), Node({{"channels", "0"}})).errors == 1);
  CHECK(Bound(HostDescriptor(), Node({{"interval", "1us"}})).errors == 1);
  const Schema a({{"x", TypeId::kInt64}});
  const Schema b({{"y", TypeId::kInt64}});
  CHECK(Bound(FileSinkDescriptor(), Node({{"path", "x.csv"}}), {&a, &b}).errors == 1);
  CHECK(Bound(FileSinkDescriptor(), Node({{"path", "x.ndjson"}}), {&a, &b}).errors == 0);
}

TEST_CASE("Webhook_Deliver_EagerIsForRowsOfAnAlert") {
  const Schema alert({{"alert_id", TypeId::kString}, {"state", TypeId::kString}});
  const Schema rows({{"n", TypeId::kInt64}});
  const auto url = std::pair<std::string, std::string>("url", "http://x/");
  const Bound both(WebhookDescriptor(), Node({url}), {&alert, &rows}, nullptr, {true, false});
  REQUIRE(both.sink.has_value());
  CHECK(both.Explained("eager") == "in0");
  CHECK(both.Explained("on commit") == "in1");
  CHECK(both.sink->outbox.eager_schemas.size() == 1);
  const Bound patient(WebhookDescriptor(), Node({url, {"deliver", "on_commit"}}), {&alert}, nullptr, {true});
  REQUIRE(patient.sink.has_value());
  CHECK(patient.sink->outbox.eager_schemas.empty());
  CHECK(patient.Explained("on commit") == "in0");
  // Others have no name that a replay would give them again.
  const Bound eager(WebhookDescriptor(), Node({url, {"deliver", "eager"}}), {&rows}, nullptr, {false});
  CHECK(eager.errors == 1);
  CHECK(eager.diagnostics.Render().find("FR3122") != std::string::npos);
  CHECK(Bound(WebhookDescriptor(), Node({url, {"deliver", "eager"}}), {&alert}, nullptr, {true}).errors == 0);
  const Bound alike(WebhookDescriptor(), Node({url}), {&alert, &alert}, nullptr, {true, false});
  CHECK(alike.errors == 1);
  CHECK(alike.diagnostics.Render().find("FR3123") != std::string::npos);
}

TEST_CASE("Generate_NeededColumns_AreAllThatIsMade") {
  const std::vector<std::string> needed = {"kind", "at"};
  const Bound bound(GenerateDescriptor(), Node({{"events", "5000"}, {"seed", "3"}}), {}, &needed);
  REQUIRE(bound.source.has_value());
  CHECK(bound.source->schema->ToString() == "at: timestamp, kind: string");
  const auto source = bound.source->make_source();
  const auto decoder = bound.source->make_decoder();
  SourceOpenContext ctx;
  ctx.env = Env::Posix();
  REQUIRE(source->Open(ctx).ok());
  int64_t rows = 0;
  for (;;) {
    RawChunk chunk;
    const auto outcome = source->Poll({.rows = 100000, .bytes = 1 << 20}, &chunk);
    REQUIRE(outcome.ok());
    if (outcome.value() == PollOutcome::kEnd) break;
    DecodedBlock block;
    decoder->Decode(chunk, &block);
    REQUIRE(block.columns.size() == 2);
    rows += block.row_count;
  }
  CHECK(rows == 5000);
}

}  // namespace
}  // namespace freshet
