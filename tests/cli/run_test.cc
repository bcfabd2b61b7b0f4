// The program from outside: exit codes, summaries, signals, kills, locks.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/cli/sample.h"

using namespace freshet::testing;

namespace {

std::string AddressOf(const Workshop& shop, const std::string& state) {
  const std::string text = shop.Read(state + "/http.addr");
  return text.empty() ? text : text.substr(0, text.size() - 1);
}

int64_t RecordsRead(const Workshop& shop, const std::string& state) {
  return NumberAfter(HttpGet(AddressOf(shop, state), "/api/v1/pipeline"), "\"id\":\"in\"", "read");
}

/// What the pipeline writes when nothing happens to it.
std::string Undisturbed(const std::string& rows) {
  Workshop shop;
  shop.Write("in.ndjson", rows);
  const Finished run = RunProgram(
      shop, {"run", shop.Write("sample.yaml", SamplePipeline()), "--http", "off", "--state", shop.Path("state")});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  std::string out = shop.Read("out.ndjson");
  REQUIRE(!out.empty());
  return out;
}

}  // namespace

TEST_CASE("Run_BoundedFile_AccountsForEveryRowAndSaysSo") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 1000) + "{torn\n");
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const std::string state = shop.Path("state");
  const Finished run = RunProgram(shop, {"run", file, "--http", "off", "--state", state, "--json"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 1,001 = emitted 1,000 + dead 1"));
  CHECK(Contains(run.err, "dead letters of in: 1 in " + state + "/dead_letter/in.ndjson"));
  CHECK(Contains(shop.Read("state/dead_letter/in.ndjson"), "torn"));
  CHECK(Contains(run.out, "\"outcome\":\"finished\""));
  const int64_t in = NumberAfter(run.out, "\"id\":\"big\"", "in");
  CHECK(in == 1000);
  CHECK(NumberAfter(run.out, "\"id\":\"big\"", "out") + NumberAfter(run.out, "\"id\":\"big\"", "filtered") == in);
  CHECK(NumberAfter(run.out, "\"id\":\"w\"", "absorbed") == NumberAfter(run.out, "\"id\":\"big\"", "out"));

  SUBCASE("a second run has nothing to do and says when it was done") {
    const Finished again = RunProgram(shop, {"run", file, "--http", "off", "--state", state});
    CHECK(again.code == 0);
    CHECK(Contains(again.err, "already processed in full on 20"));
    CHECK(Contains(again.err, "--fresh starts over"));
  }
  SUBCASE("--fresh does it again, with the same bytes") {
    const std::string before = shop.Read("out.ndjson");
    const Finished again = RunProgram(shop, {"run", file, "--http", "off", "--state", state, "--fresh"});
    CHECK(again.code == 0);
    CHECK(shop.Read("out.ndjson") == before);
  }
}

namespace {

std::vector<std::string> SortedLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

/// Rows [from, to) whose key has no row in [open_from, from) that passes the filter: the window that stood open there
/// has left for the other keys.
std::string RowsOfOtherKeys(int open_from, int from, int to) {
  std::set<uint64_t> gone;
  for (int i = open_from; i < from; ++i)
    if (const uint64_t r = freshet::Mix64(static_cast<uint64_t>(i)); (r >> 8) % 100 >= 10) gone.insert(r % 11);
  std::string text;
  for (int i = from; i < to; ++i)
    if (gone.count(freshet::Mix64(static_cast<uint64_t>(i)) % 11) == 0) text += SampleRows(i, i + 1);
  return text;
}

}  // namespace

TEST_CASE("Run_FinishedAndTheFileGrew_GoesOnBehindItAndWindowsThatLeftStayGone") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 1705));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const std::vector<std::string> run = {"run", file, "--http", "off", "--state", shop.Path("state")};
  REQUIRE(RunProgram(shop, run).code == 0);
  const std::string first = shop.Read("out.ndjson");
  CHECK(first == Undisturbed(SampleRows(0, 1705)));
  CHECK(Contains(RunProgram(shop, run).err, "already processed in full on 20"));

  // The last window, 170 s to 180 s, has left for some keys. Their rows up to 180 s are late, whatever their watermark.
  shop.Append("in.ndjson", SampleRows(1705, 3000));
  const Finished second = RunProgram(shop, run);
  REQUIRE_MESSAGE(second.code == 0, second.err);
  CHECK_MESSAGE(Contains(second.err, "read 3,000 = emitted 3,000"), second.err);
  const std::string out = shop.Read("out.ndjson");
  CHECK(out.substr(0, first.size()) == first);
  const std::string on_time = RowsOfOtherKeys(1700, 1705, 1800);
  REQUIRE(on_time.size() > 1000);
  CHECK(SortedLines(out) == SortedLines(Undisturbed(SampleRows(0, 1705) + on_time + SampleRows(1800, 3000))));

  CHECK(Contains(RunProgram(shop, run).err, "already processed in full on 20"));
  CHECK(shop.Read("out.ndjson") == out);
}

TEST_CASE("Run_FinishedAndAFileCame_ReadsItBehindTheOthers") {
  for (const bool packed : {false, true}) {
    CAPTURE(packed);
    Workshop shop;
    shop.Write("in-1.ndjson", SampleRows(0, 1000));
    const std::string sink = packed ? "out.csv.gz" : "out.csv";
    const std::string file = shop.Write("sample.yaml", SamplePipeline());
    const auto run = [&](const std::string& state, const std::string& out) {
      const Finished done = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path(state), "--set",
                                              "sources.in.path=" + shop.Path("in-*.ndjson"), "--set",
                                              "sinks.out.path=" + shop.Path(out), "--set", "sinks.out.format=csv"});
      REQUIRE_MESSAGE(done.code == 0, done.err);
      return done.err;
    };
    (void)run("state", sink);
    CHECK(Contains(run("state", sink), "already processed"));
    shop.Write("in-2.ndjson", SampleRows(1000, 2500));
    CHECK(Contains(run("state", sink), "read 2,500"));
    CHECK(Contains(run("state", sink), "already processed"));
    // Row 1,000 is the first of a window: nothing is late, and one run over both files says the same.
    (void)run("other", "all.csv");
    if (packed) REQUIRE(std::system(("gzip -df " + shop.Path(sink)).c_str()) == 0);
    CHECK(shop.Read("out.csv") == shop.Read("all.csv"));
  }
}

TEST_CASE("Run_DrainedAndStartedAgain_FollowsOn") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 1000));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const auto life = [&](int rows) {
    (void)!remove(shop.Path("state/http.addr").c_str());
    Program program(shop, {"run", file, "--state", shop.Path("state"), "--drain", "--http", "127.0.0.1:0", "--set",
                           "sources.in.follow=true"});
    REQUIRE_MESSAGE(Eventually([&] { return !program.running() || RecordsRead(shop, "state") == rows; }),
                    program.err());
    REQUIRE_MESSAGE(program.running(), program.err());
    program.Signal(SIGINT);
    CHECK(program.Wait() == 0);
  };
  life(1000);
  CHECK(shop.Read("out.ndjson") == Undisturbed(SampleRows(0, 1000)));
  shop.Append("in.ndjson", SampleRows(1000, 2000));
  life(2000);
  CHECK(shop.Read("out.ndjson") == Undisturbed(SampleRows(0, 2000)));
}

TEST_CASE("Run_Interrupted_GoesOnWhereItStopped") {
  const std::string expected = Undisturbed(SampleRows(0, 3000));
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 1700));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const std::vector<std::string> common = {"run", file, "--state", shop.Path("state")};
  {
    std::vector<std::string> arguments = common;
    for (const char* more : {"--http", "127.0.0.1:0", "--set", "sources.in.follow=true"}) arguments.emplace_back(more);
    Program first(shop, arguments);
    REQUIRE_MESSAGE(Eventually([&] { return !first.running() || RecordsRead(shop, "state") == 1700; }), first.err());
    REQUIRE_MESSAGE(first.running(), first.err());
    first.Signal(SIGINT);
    CHECK(first.Wait() == 0);
    CHECK_MESSAGE(Contains(first.err(), "stopped after"), first.err());
    CHECK(shop.Read("state/http.addr").empty());
  }
  shop.Append("in.ndjson", SampleRows(1700, 3000));
  std::vector<std::string> arguments = common;
  for (const char* more : {"--http", "off"}) arguments.emplace_back(more);
  const Finished second = RunProgram(shop, arguments);
  REQUIRE_MESSAGE(second.code == 0, second.err);
  CHECK(Contains(second.err, "read 3,000 = emitted 3,000"));
  CHECK(shop.Read("out.ndjson") == expected);
}

TEST_CASE("Run_KilledAgainAndAgain_WritesTheSameBytes") {
  constexpr int kKills = 5;
  constexpr int kRowsPerLife = 2000;
  const std::string expected = Undisturbed(SampleRows(0, kKills * kRowsPerLife));
  Workshop shop;
  shop.Write("in.ndjson", "");
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  for (int life = 0; life < kKills; ++life) {
    shop.Append("in.ndjson", SampleRows(life * kRowsPerLife, (life + 1) * kRowsPerLife));
    (void)!remove(shop.Path("state/http.addr").c_str());
    Program program(
        shop, {"run", file, "--state", shop.Path("state"), "--http", "127.0.0.1:0", "--set", "sources.in.follow=true"});
    // Some die right after they have read, some after a checkpoint.
    const bool wait_for_checkpoint = life % 2 == 0;
    REQUIRE_MESSAGE(Eventually([&] {
                      if (!program.running()) return true;
                      const std::string view = HttpGet(AddressOf(shop, "state"), "/api/v1/pipeline");
                      return NumberAfter(view, "\"id\":\"in\"", "read") >= life * kRowsPerLife + 1 &&
                             (!wait_for_checkpoint || NumberAfter(view, "\"checkpoint\"", "count") > 0);
                    }),
                    program.err());
    REQUIRE_MESSAGE(program.running(), program.err());
    program.Signal(SIGKILL);
    CHECK(program.Wait() == 128 + SIGKILL);
  }
  const Finished last = RunProgram(shop, {"run", file, "--state", shop.Path("state"), "--http", "off"});
  REQUIRE_MESSAGE(last.code == 0, last.err);
  CHECK(shop.Read("out.ndjson") == expected);
}

TEST_CASE("Run_StateInUse_IsRefusedWithAWayOut") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 10));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  Program first(
      shop, {"run", file, "--state", shop.Path("state"), "--http", "127.0.0.1:0", "--set", "sources.in.follow=true"});
  REQUIRE_MESSAGE(Eventually([&] { return !first.running() || RecordsRead(shop, "state") == 10; }), first.err());
  REQUIRE_MESSAGE(first.running(), first.err());

  const Finished second = RunProgram(shop, {"run", file, "--state", shop.Path("state"), "--http", "off"});
  CHECK_MESSAGE(second.code == 4, second.err);

  const Finished taken =
      RunProgram(shop, {"run", file, "--state", shop.Path("other"), "--http", AddressOf(shop, "state"), "--fresh"});
  CHECK_MESSAGE(taken.code == 3, taken.err);
  CHECK(Contains(taken.err, "cannot listen"));

  const std::string address = AddressOf(shop, "state");
  CHECK(Contains(HttpGet(address, "/healthz"), "200 OK"));
  CHECK(Contains(HttpGet(address, "/readyz"), "ready"));
  CHECK(Contains(HttpGet(address, "/metrics"), "freshet_rows_in_total{node=\"in\",pipeline=\"sample\"} 10\n"));
  first.Signal(SIGTERM);
  CHECK(first.Wait() == 0);
}

TEST_CASE("Run_WhatTheEnvironmentLacks_IsSaidInOneSentence") {
  Workshop shop;
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const Finished no_input = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("state")});
  CHECK_MESSAGE(no_input.code == 3, no_input.err);
  CHECK(Contains(no_input.err, "in.ndjson"));
  CHECK(RunProgram(shop, {"run", shop.Path("absent.yaml")}).code == 3);
  const Finished open = RunProgram(shop, {"run", file, "--http", "0.0.0.0:0", "--state", shop.Path("state")});
  CHECK(open.code == 2);
  CHECK(Contains(open.err, "FRESHET_HTTP_TOKEN"));
}

TEST_CASE("Run_Limit_StopsLikeASignalAndGoesOn") {
  const std::string expected = Undisturbed(SampleRows(0, 500));
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 500));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const std::vector<std::string> common = {"run", file, "--http", "off", "--state", shop.Path("state")};
  std::vector<std::string> limited = common;
  limited.insert(limited.end(), {"--limit", "200"});
  const Finished first = RunProgram(shop, limited);
  REQUIRE_MESSAGE(first.code == 0, first.err);
  CHECK_MESSAGE(Contains(first.err, "stopped after"), first.err);
  const Finished second = RunProgram(shop, common);
  CHECK_MESSAGE(second.code == 0, second.err);
  CHECK(shop.Read("out.ndjson") == expected);
}

TEST_CASE("Run_StateThatDoesNotFitOrIsBroken_IsRefusedWithAWayOut") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 500));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const std::string state = shop.Path("state");
  REQUIRE(RunProgram(shop, {"run", file, "--http", "off", "--state", state, "--limit", "100"}).code == 0);

  std::string edited = SamplePipeline();
  edited.replace(edited.find("s: sum(v)"), 9, "s: max(v)");
  const Finished misfit =
      RunProgram(shop, {"run", shop.Write("edited.yaml", edited), "--http", "off", "--state", state});
  CHECK_MESSAGE(misfit.code == 4, misfit.err);
  CHECK_MESSAGE(Contains(misfit.err, "`w`"), misfit.err);
  CHECK_MESSAGE(Contains(misfit.err, "--fresh"), misfit.err);

  // Nothing was lost by the refusal.
  const std::string current = shop.Read("state/db/CURRENT");
  shop.Write("state/db/CURRENT", "garbage\n");
  const Finished broken = RunProgram(shop, {"run", file, "--http", "off", "--state", state});
  CHECK_MESSAGE(broken.code == 4, broken.err);
  CHECK_MESSAGE(Contains(broken.err, "--fresh"), broken.err);
  shop.Write("state/db/CURRENT", current);
  const Finished whole = RunProgram(shop, {"run", file, "--http", "off", "--state", state});
  CHECK_MESSAGE(whole.code == 0, whole.err);
  CHECK(Contains(whole.err, "read 500 = emitted 500"));
}

TEST_CASE("Run_UntilIdle_EndsWithoutASignal") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 100));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const Finished run = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("state"), "--until-idle",
                                         "200ms", "--set", "sources.in.follow=true"});
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK_MESSAGE(Contains(run.err, "stopped after"), run.err);
}

TEST_CASE("Run_DrainUntilIdle_ClosesTheWindowsAndFinishesTheState") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 100));
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const Finished run = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("state"), "--until-idle",
                                         "200ms", "--drain", "--set", "sources.in.follow=true"});
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK_MESSAGE(Contains(run.err, "finished after"), run.err);
  CHECK_MESSAGE(Contains(run.err, "read 100 = emitted 100"), run.err);
  CHECK_MESSAGE(!Contains(run.err, "open "), run.err);
  const Finished limited =
      RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("other"), "--limit", "60", "--drain",
                        "--set", "sinks.out.path=" + shop.Path("limited.ndjson")});
  CHECK_MESSAGE(limited.code == 0, limited.err);
  CHECK_MESSAGE(Contains(limited.err, "finished after"), limited.err);
  CHECK_MESSAGE(Contains(limited.err, "read 60 = emitted 60"), limited.err);
}

TEST_CASE("Run_Strict_TakesWarningsForErrors") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 10));
  const std::string file = shop.Write("plain.yaml", R"(name: plain
sources:
  in: {type: file, path: in.ndjson, format: ndjson, schema: {k: string}}
sinks:
  out: {type: blackhole, inputs: [in]}
)");
  const Finished strict = RunProgram(shop, {"run", file, "--http", "off", "--strict", "--state", shop.Path("state")});
  CHECK_MESSAGE(strict.code == 2, strict.err);
  const Finished lax = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("state")});
  CHECK_MESSAGE(lax.code == 0, lax.err);
  CHECK(Contains(lax.err, "warning"));
}

TEST_CASE("Run_TwoPipelinesOneFailing_TheOtherFinishes") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 100));
  std::string missing = SamplePipeline();
  missing.replace(missing.find("in.ndjson"), 9, "no.ndjson");
  missing.replace(missing.find("out.ndjson"), 10, "no.out");
  missing.replace(missing.find("name: sample"), 12, "name: absent");
  const Finished run = RunProgram(shop, {"run", shop.Write("a.yaml", missing), shop.Write("b.yaml", SamplePipeline()),
                                         "--http", "off", "--state", shop.Path("state")});
  CHECK_MESSAGE(run.code == 3, run.err);
  CHECK_MESSAGE(Contains(run.err, "sample: finished"), run.err);
  CHECK_FALSE(shop.Read("out.ndjson").empty());
}
