// What leaves by network, with the real program: a receiver that is away, killed processes, signals.
#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>

#include <map>
#include <set>

#include "engine/base/rng.h"
#include "tests/cli/program.h"
#include "tests/cli/sample.h"
#include "tests/connectors/loopback_server.h"

using namespace freshet::testing;
using freshet::test::HttpAnswer;
using freshet::test::LoopbackServer;

namespace {

std::string HookPipeline(const std::string& url, const std::string& source = "", const std::string& hook = "") {
  return R"(name: hooks
settings:
  checkpoint: {every: 200ms}
  parallelism: 2
sources:
  in:
    type: file
    path: in.ndjson
    format: ndjson
    schema: {at: timestamp, k: string, v: int64}
    time: {field: at, lateness: 1s}
)" + source +
         R"(operators:
  high:
    type: alert
    inputs: [in]
    when: v >= 90
    key: [k]
    message: "{k} at {v}"
  w:
    type: window
    inputs: [in]
    window: {tumbling: 5s}
    key: [k]
    aggregates: {n: count(), s: sum(v)}
sinks:
  hook:
    type: webhook
    inputs: [high, w]
    url: )" +
         url + "\n" + hook;
}

std::string IdOf(const std::string& request) {
  const std::string name = "Idempotency-Key: ";
  const size_t from = request.find(name) + name.size();
  return request.substr(from, request.find("\r\n", from) - from);
}
std::string BodyOf(const std::string& request) { return request.substr(request.find("\r\n\r\n") + 4); }

/// Not one whose sender was killed while it wrote.
bool IsWhole(const std::string& request) {
  const size_t end = request.find("\r\n\r\n");
  const size_t length = request.find("Content-Length: ");
  return end != std::string::npos && length < end &&
         request.size() - end - 4 == std::stoul(request.substr(length + 16));
}

/// id -> body; a name with two contents is an error.
std::map<std::string, std::string> Received(const LoopbackServer& server) {
  std::map<std::string, std::string> by_id;
  for (const std::string& request : server.requests()) {
    if (!IsWhole(request)) continue;
    const auto [known, fresh] = by_id.emplace(IdOf(request), BodyOf(request));
    CHECK_MESSAGE(known->second == BodyOf(request), known->first);
  }
  return by_id;
}

std::vector<std::string> RunArguments(const Workshop& shop, const std::string& file) {
  return {"run", file, "--http", "off", "--state", shop.Path("state")};
}

/// What arrives when nothing happens.
std::map<std::string, std::string> Undisturbed(const std::string& rows) {
  LoopbackServer server([](int) { return HttpAnswer(200); });
  Workshop shop;
  shop.Write("in.ndjson", rows);
  const Finished run = RunProgram(shop, RunArguments(shop, shop.Write("p.yaml", HookPipeline(server.url()))));
  REQUIRE_MESSAGE(run.code == 0, run.err);
  auto received = Received(server);
  CHECK(received.size() == server.requests().size());
  return received;
}

struct NoProxy {
  NoProxy() { ::setenv("no_proxy", "127.0.0.1", 1); }
} const no_proxy;

}  // namespace

TEST_CASE("Outbox_KilledAgainAndAgain_EachRowArrivesWithOneContent") {
  const std::string rows = SampleRows(0, 1500);
  const auto expected = Undisturbed(rows);
  REQUIRE(expected.size() > 400);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    freshet::Rng rng(seed);
    // Some answers never come, and some are errors.
    LoopbackServer server(
        [&](int n) { return HttpAnswer(freshet::Mix64(static_cast<uint64_t>(n)) % 23 == 0 ? 503 : 200); });
    REQUIRE(server.ok());
    Workshop shop;
    shop.Write("in.ndjson", rows);
    const std::string file = shop.Write("p.yaml", HookPipeline(server.url(), "", "    max_backoff: 5ms\n"));
    int kills = 0;
    int code = -1;
    while (code != 0) {
      REQUIRE(kills < 100);
      Program program(shop, RunArguments(shop, file));
      const size_t kill_at = server.requests().size() + rng.Below(120);
      const bool kill = kills < 6;
      while (program.running() && !(kill && server.requests().size() >= kill_at)) std::this_thread::yield();
      if (program.running()) {
        program.Signal(SIGKILL);
        ++kills;
      }
      code = program.Wait();
      REQUIRE_MESSAGE((code == 0 || code == 128 + SIGKILL), program.err());
    }
    const auto received = Received(server);
    CHECK(received.size() == expected.size());
    for (const auto& [id, body] : expected) {
      CAPTURE(id);
      REQUIRE(received.count(id) == 1);
      CHECK(received.at(id) == body);
    }
  }
}

TEST_CASE("Outbox_ReceiverIsAway_StopKeepsTheRowsAndTheNextRunSendsThem") {
  const std::string rows = SampleRows(0, 600);
  std::atomic<bool> away{true};
  LoopbackServer server([&](int) { return HttpAnswer(away ? 500 : 200); });
  REQUIRE(server.ok());
  Workshop shop;
  shop.Write("in.ndjson", rows);
  const std::string file =
      shop.Write("p.yaml", HookPipeline(server.url(), "    follow: true\n", "    max_backoff: 5ms\n"));
  {
    Program program(shop, RunArguments(shop, file));
    REQUIRE(Eventually([&] { return server.requests().size() > 5; }));
    program.Signal(SIGINT);
    CHECK(program.Wait() == 0);
    CHECK_MESSAGE(Contains(program.err(), "rows wait in the outbox for the next run"), program.err());
    CHECK_MESSAGE(!Contains(program.err(), "NOT ACCOUNTED"), program.err());
  }
  const size_t before = server.requests().size();
  const std::string first = IdOf(server.requests()[0]);
  away = false;
  {
    Program program(shop, RunArguments(shop, file));
    REQUIRE(Eventually([&] { return server.requests().size() > before + 50; }));
    program.Signal(SIGINT);
    CHECK(program.Wait() == 0);
    CHECK_MESSAGE(!Contains(program.err(), "wait in the outbox"), program.err());
  }
  CHECK(IdOf(server.requests()[before]) == first);
  const auto received = Received(server);
  CHECK(received.size() == server.requests().size() - before);  // each taken once
}

TEST_CASE("Outbox_EndOfInputWithTheReceiverAway_SaysSoAndTheSameCommandSendsTheRest") {
  std::atomic<bool> away{true};
  LoopbackServer server([&](int) { return HttpAnswer(away ? 500 : 200); });
  REQUIRE(server.ok());
  Workshop shop;
  const std::string rows = SampleRows(0, 300);
  shop.Write("in.ndjson", rows);
  const std::string file =
      shop.Write("p.yaml", HookPipeline(server.url(), "", "    max_backoff: 5ms\n    retries: 3\n"));
  const Finished run = RunProgram(shop, RunArguments(shop, file));
  CHECK(run.code != 0);
  CHECK_MESSAGE(Contains(run.err, "wait in the outbox; the next run sends them"), run.err);
  const size_t before = server.requests().size();
  CHECK(before >= 4);
  away = false;
  const Finished again = RunProgram(shop, RunArguments(shop, file));
  CHECK(again.code == 0);
  CHECK(Contains(again.err, "already processed in full"));
  CHECK(Received(server) == Undisturbed(rows));
}

TEST_CASE("Outbox_SecondSignal_DoesNotWaitForASilentReceiver") {
  LoopbackServer server([](int) { return std::string(); });
  REQUIRE(server.ok());
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 300));
  // An attempt would go on for ten minutes, longer than a test may take.
  const std::string file =
      shop.Write("p.yaml", HookPipeline(server.url(), "    follow: true\n", "    timeout: 600s\n"));
  Program program(shop, RunArguments(shop, file));
  REQUIRE(Eventually([&] { return !server.requests().empty(); }));
  program.Signal(SIGINT);
  program.Signal(SIGINT);
  program.Wait();
  // What was attempted is not lost.
  LoopbackServer good([](int) { return HttpAnswer(200); });
  const std::string second = shop.Write("p.yaml", HookPipeline(good.url()));
  const Finished run = RunProgram(shop, RunArguments(shop, second));
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK(Received(good).count(IdOf(server.requests()[0])) == 1);
}

TEST_CASE("Outbox_SinkThatIsGone_IsWarnedOf") {
  LoopbackServer server([](int) { return HttpAnswer(500); });
  REQUIRE(server.ok());
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 300));
  std::string text = HookPipeline(server.url(), "    follow: true\n");
  Program program(shop, RunArguments(shop, shop.Write("p.yaml", text)));
  REQUIRE(Eventually([&] { return !server.requests().empty(); }));
  program.Signal(SIGINT);
  CHECK(program.Wait() == 0);
  text.replace(text.find("  hook:"), 7, "  other:");
  text.replace(text.find("  high:"), 7, "  high:");
  Program renamed(shop, RunArguments(shop, shop.Write("p.yaml", text)));
  CHECK(Eventually([&] { return Contains(renamed.err(), "hook"); }));
  renamed.Signal(SIGINT);
  renamed.Wait();
  CHECK_MESSAGE(Contains(renamed.err(), "wait in the outbox for `hook`, which the pipeline does not have any more"),
                renamed.err());
}

TEST_CASE("Outbox_PlanAndValidate_SayWhatEachSinkGives") {
  Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 1));
  std::string text = HookPipeline("http://127.0.0.1:1/");
  text +=
      "  lines: {type: file, path: out.ndjson, inputs: [high]}\n"
      "  screen: {type: console, inputs: [high]}\n";
  const Finished plan = RunProgram(shop, {"plan", shop.Write("p.yaml", text)});
  REQUIRE_MESSAGE(plan.code == 0, plan.err);
  CHECK(Contains(plan.out, "eager: high"));
  CHECK(Contains(plan.out, "on commit: w"));
  CHECK(
      Contains(plan.out, "delivery: effectively once where the receiver honours Idempotency-Key, else at least once"));
  CHECK(Contains(plan.out, "alerts leave: with the checkpoint that holds them\n  delivery: exactly once"));
  CHECK(Contains(plan.out, "alerts leave: at once\n  delivery: at least once"));
  const Finished good = RunProgram(
      shop,
      {"validate", shop.Write("g.yaml", HookPipeline("http://127.0.0.1:1/", "", "    guarantee: effectively_once\n"))});
  CHECK_MESSAGE(good.code == 0, good.err);
  const Finished bad = RunProgram(
      shop,
      {"validate", shop.Write("b.yaml", HookPipeline("http://127.0.0.1:1/", "", "    guarantee: exactly_once\n"))});
  CHECK(bad.code != 0);
  CHECK(Contains(bad.out + bad.err, "FR2118"));
  const Finished eager = RunProgram(
      shop, {"validate", shop.Write("e.yaml", HookPipeline("http://127.0.0.1:1/", "", "    deliver: eager\n"))});
  CHECK(eager.code != 0);
  CHECK(Contains(eager.out + eager.err, "FR3122"));
}
