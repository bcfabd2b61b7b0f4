// `freshet top`: the table from an answer, and the verb against a run.
#include <doctest/doctest.h>
#include <signal.h>

#include "engine/base/env.h"
#include "engine/cli/top.h"
#include "tests/cli/program.h"
#include "tests/cli/sample.h"

using namespace freshet;
using namespace freshet::testing;
using freshet::cli::RenderTop;
using freshet::cli::TopStyle;

namespace {

std::string Node(const std::string& id, double busy, double waits, const std::string& more = {}) {
  return R"({"id":")" + id +
         R"(","type":"t","rows":{"in":5,"late":12345,"dead":0},"watermark_lag_us":65000000,"ended":)" +
         R"(false,"queued":3,"state_bytes":2048,"load":{"busy_ratio":)" + std::to_string(busy) +
         R"(,"backpressured_ratio":)" + std::to_string(waits) +
         R"(,"rows_in_per_second":1234567,"rows_out_per_second":99.6,"bytes_in_per_second":0})" + more + "}";
}

std::string Answer(const std::string& bottleneck) {
  return R"({"version":"1","pipelines":[{"name":"edits","phase":"running","running_us":3661000000,"progress":0.5,)"
         R"("checkpoint":{"committed_epoch":7,"last_duration_us":21000,"failed":2,"paused":false,)"
         R"("last_at":"2026-01-02T03:04:05.5Z"},"bottleneck":)" +
         bottleneck + R"(,"nodes":[)" + Node("in", 0.1, 0.9) + "," + Node("w", 0.95, 0) + "," +
         Node("out", 0.4, 0, R"(,"waiting_for":"disk full")") + R"(]}]})";
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find('\n', from);
    lines.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return lines;
}

}  // namespace

TEST_CASE("JsonValue_Texts_AreReadOrRefused") {
  const auto value = JsonValue::Parse(R"({"a":[1,-2.5,true,null,"x\u00e9\n",18446744073709551615],"b":{"c":7}})");
  REQUIRE(value.ok());
  const JsonValue& a = (*value)["a"];
  REQUIRE(a.items().size() == 6);
  CHECK(a.items()[0].integer() == 1);
  CHECK(a.items()[1].number() == -2.5);
  CHECK(a.items()[2].boolean());
  CHECK(a.items()[3].is_null());
  CHECK(a.items()[4].text() == "x\xc3\xa9\n");
  CHECK(a.items()[5].number() == doctest::Approx(1.8446744073709552e19));
  CHECK((*value)["b"]["c"].integer() == 7);
  CHECK((*value)["b"]["none"]["deeper"].is_null());
  for (const char* bad : {"", "{", "{\"a\":}", "[1,]", "nul"}) CHECK_FALSE(JsonValue::Parse(bad).ok());
}

TEST_CASE("Top_Table_HasTheSlowestFirst") {
  const auto answer = JsonValue::Parse(Answer(R"({"node":"out","busy_ratio":0.4})"));
  REQUIRE(answer.ok());
  TopStyle style;
  style.width = 200;
  const std::vector<std::string> lines = Lines(RenderTop(*answer, style));
  REQUIRE(lines.size() == 7);
  CHECK(lines[0] == "edits  running for 1:01:01  50 %  checkpoint 7 in 21ms at 03:04:05, 2 failed");
  CHECK(lines[1] == "bottleneck: out, busy 40 %");
  CHECK(lines[2] == "  NODE  TYPE  BUSY  WAITS   IN/s  OUT/s  BYTES/s  QUEUE   LAG    STATE    LATE  DEAD");
  CHECK(lines[3] == "> out   t     40 %    0 %  1.2 M    100        0      3  1:05  2.0 KiB  12.3 k     0");
  CHECK(lines[4] == "    waiting: disk full");
  CHECK(lines[5].starts_with("  w     t     95 %"));
  CHECK(lines[6].starts_with("  in    t     10 %   90 %"));
}

TEST_CASE("Top_Terminal_CutsWhatHasNoRoom") {
  const auto answer = JsonValue::Parse(Answer("null"));
  REQUIRE(answer.ok());
  TopStyle style;
  style.width = 20;
  style.height = 5;
  style.color = true;
  const std::vector<std::string> lines = Lines(RenderTop(*answer, style));
  REQUIRE(lines.size() == 4);  // the last line of a terminal stays free
  CHECK(lines[0] == "\033[1medits  running for 1\033[0m");
  CHECK(lines[1] == "no bottleneck: it wa");
  CHECK(lines[3].starts_with("  w "));
}

TEST_CASE("Top_Once_ShowsARunByStateAddressOrFile") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 100));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  Program run(shop, {"run", file, "--http", "127.0.0.1:0", "--set", "sources.in.follow=true"});
  const std::string state = shop.Path("home/freshet/sample");
  REQUIRE_MESSAGE(
      Eventually([&] {
        return !run.running() || Contains(RunProgram(shop, {"top", "--once", file}).out, "sample  running for 0:0");
      }),
      run.err());
  REQUIRE_MESSAGE(run.running(), run.err());
  const std::string address = shop.Read("home/freshet/sample/http.addr");
  for (const std::string& where : {state, address.substr(0, address.size() - 1),
                                   "http://" + address.substr(0, address.size() - 1) + "/api/v1/pipeline"}) {
    CAPTURE(where);
    const Finished top = RunProgram(shop, {"top", "--once", where});
    CHECK_MESSAGE(top.code == 0, top.err);
    for (const char* part : {"NODE", "BUSY", "WAITS", "\n  in", "\n  big", "\n  w ", "\n  out", "bottleneck"})
      CHECK_MESSAGE(Contains(top.out, part), top.out);
    CHECK_FALSE(Contains(top.out, "\033"));
  }
  const Finished json = RunProgram(shop, {"top", "--once", "--json", state});
  const auto answer = JsonValue::Parse(json.out);
  REQUIRE_MESSAGE(answer.ok(), json.out);
  const JsonValue& pipeline = (*answer)["pipelines"].items().at(0);
  CHECK(pipeline["name"].text() == "sample");
  CHECK(pipeline["nodes"].items().size() >= 4);
  // Every field that the README promises, and none it does not know.
  const std::string readme = [] {
    Result<std::string> text = Env::Posix()->ReadFile(std::string(FRESHET_SOURCE_DIR) + "/engine/serve/README.md");
    return text.ok() ? *text : std::string();
  }();
  for (const std::string& key : pipeline.keys()) CHECK_MESSAGE(Contains(readme, "`" + key + "`"), key);
  for (const std::string& key : pipeline["checkpoint"].keys()) CHECK_MESSAGE(Contains(readme, "`" + key + "`"), key);
  for (const std::string& key : pipeline["memory"].keys()) CHECK_MESSAGE(Contains(readme, "`" + key + "`"), key);
  CHECK(pipeline["memory"].keys().size() == 4);
  const JsonValue& node = pipeline["nodes"].items().at(0);
  for (const std::string& key : node.keys()) CHECK_MESSAGE(Contains(readme, "`" + key + "`"), key);
  for (const std::string& key : node["load"].keys()) CHECK_MESSAGE(Contains(readme, "`" + key + "`"), key);
  run.Signal(SIGTERM);
  CHECK(run.Wait() == 0);

  const Finished gone = RunProgram(shop, {"top", "--once", state});
  CHECK(gone.code == 3);
  CHECK_MESSAGE(Contains(gone.err, "nothing runs on the state"), gone.err);
  CHECK(RunProgram(shop, {"top", "--once", address.substr(0, address.size() - 1)}).code == 3);
  CHECK(RunProgram(shop, {"top", "--once", "no such thing"}).code == 2);
  CHECK(RunProgram(shop, {"top", "--interval", "0"}).code == 2);
}
