#include "connectors/console/console.h"

#include <doctest/doctest.h>

#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {
using test::MakeBatch;
using test::MakeSchema;

const SchemaRef kAlertSchema = MakeSchema({{"alert_id", TypeId::kString},
                                           {"rule", TypeId::kString},
                                           {"video_id", TypeId::kString},
                                           {"state", TypeId::kString},
                                           {"severity", TypeId::kString},
                                           {"started_at", TypeId::kTimestamp},
                                           {"peaked_at", TypeId::kTimestamp},
                                           {"peak", TypeId::kFloat64},
                                           {"ended_at", TypeId::kTimestamp},
                                           {"message", TypeId::kString}});
constexpr int64_t kMinute = 60000000;

Batch Alerts() {
  const int64_t start = int64_t{1772452800} * 1000000;  // 2026-03-02 12:00
  return MakeBatch(
      kAlertSchema,
      {{std::string("1f"), std::string("surges"), std::string("abc"), std::string("firing"), std::string("high"), start,
        start, 3.25, std::monostate{}, std::string("views are 8 times normal")},
       {std::string("1f"), std::string("surges"), std::string("abc"), std::string("resolved"), std::string("high"),
        start, start + 10 * kMinute, 12.5, start + 25 * kMinute, std::string("views are 8 times normal")}});
}

struct Console {
  explicit Console(ConsoleFormat format, bool color = false, int64_t limit = -1) {
    sink = MakeConsoleSink({.format = format, .color = color, .limit = limit, .write = [this](std::string_view t) {
                              text += t;
                              return Status::Ok();
                            }});
    CHECK(sink->Open({}).ok());
  }
  std::string text;
  std::unique_ptr<Sink> sink;
};

TEST_CASE("Console_AlertRowsAsText_AreSentences") {
  Console console(ConsoleFormat::kText);
  REQUIRE(console.sink->Write(Alerts(), 0).ok());
  CHECK(console.text ==
        "2026-03-02 12:00:00  high      surges  video_id abc: views are 8 times normal (peak 3.25)\n"
        "2026-03-02 12:25:00  resolved  surges  video_id abc: views are 8 times normal (lasted 25m, peak 12.5 at "
        "2026-03-02 12:10:00)\n");
  Console colored(ConsoleFormat::kText, true);
  REQUIRE(colored.sink->Write(Alerts(), 0).ok());
  CHECK(colored.text.find("\x1b[1;31mhigh") != std::string::npos);
}

TEST_CASE("Console_OtherRowsAsText_AreAnAlignedTable") {
  const SchemaRef schema = MakeSchema({{"name", TypeId::kString}, {"n", TypeId::kInt64}, {"share", TypeId::kFloat64}});
  Console console(ConsoleFormat::kText);
  REQUIRE(console.sink
              ->Write(MakeBatch(schema, {{std::string("älter"), int64_t{7}, 0.123456789},
                                         {std::string("b"), int64_t{12345}, std::monostate{}}}),
                      0)
              .ok());
  REQUIRE(console.sink->Write(MakeBatch(schema, {{std::string("c"), int64_t{1}, 1.0}}), 2).ok());
  CHECK(console.text ==
        "name       n     share\n"
        "älter      7  0.123457\n"
        "b      12345         -\n"
        "c          1         1\n");
}

TEST_CASE("Console_EscapeSequencesInData_NeverReachTheTerminal") {
  const SchemaRef schema = MakeSchema({{"s", TypeId::kString}});
  Console console(ConsoleFormat::kText);
  REQUIRE(console.sink->Write(MakeBatch(schema, {{std::string("\x1b]0;x\x07\n\xc2\x9b")}}), 0).ok());
  CHECK(console.text == "s\n?]0;x???\n");
}

TEST_CASE("Console_Ndjson_OneObjectALineUpToTheLimit") {
  const SchemaRef schema = MakeSchema({{"n", TypeId::kInt64}});
  Console console(ConsoleFormat::kNdjson, false, 2);
  REQUIRE(console.sink->Write(MakeBatch(schema, {{int64_t{1}}, {int64_t{2}}, {int64_t{3}}}), 0).ok());
  REQUIRE(console.sink->Write(MakeBatch(schema, {{int64_t{4}}}), 3).ok());
  CHECK(console.text == "{\"n\":1}\n{\"n\":2}\n");
  CHECK(console.sink->Summary() == "printed 2 of 4 rows (`limit`)");
}

}  // namespace
}  // namespace freshet
