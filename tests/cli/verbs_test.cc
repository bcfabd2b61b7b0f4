// Everything but `run`, from outside.
#include <doctest/doctest.h>

#include "tests/cli/program.h"
#include "tests/cli/sample.h"

using namespace freshet::testing;

namespace {

constexpr const char* kTests = R"(tests:
  - name: counts what is big enough
    feed:
      in:
        - {at: 2024-05-01T00:00:01Z, k: a, v: 10}
        - {at: 2024-05-01T00:00:02Z, k: a, v: 3}
        - {at: 2024-05-01T00:00:03Z, k: a, v: 32}
    expect:
      out:
        - {k: a, n: 2, s: 42}
  - name: after the watermark a row is late
    feed:
      in:
        - {at: 2024-05-01T00:00:01Z, k: a, v: 10}
        - {advance: 2024-05-01T00:00:10Z}
        - {at: 2024-05-01T00:00:05Z, k: a, v: 99}
    expect:
      w:
        - {k: a, n: 1, s: 10}
      w.late:
        - {k: a, v: 99}
)";

}  // namespace

TEST_CASE("CommandLine_Wrong_ExplainsItself") {
  Workshop shop;
  const Finished typo = RunProgram(shop, {"validat"});
  CHECK(typo.code == 2);
  CHECK(Contains(typo.err, "did you mean `freshet validate`?"));
  const Finished forgotten = RunProgram(shop, {"some.yaml"});
  CHECK(forgotten.code == 2);
  CHECK(Contains(forgotten.err, "freshet run some.yaml"));
  CHECK(RunProgram(shop, {"run"}).code == 2);
  CHECK(RunProgram(shop, {"run", "--nonsense"}).code == 2);
  const Finished bare = RunProgram(shop, {});
  CHECK(bare.code == 0);
  for (const char* verb : {"run", "validate", "plan", "test", "bench", "help", "schema", "version"}) {
    CAPTURE(std::string(verb));
    CHECK(Contains(bare.out, verb));
    CHECK(RunProgram(shop, {verb, "--help"}).code == 0);
  }
}

TEST_CASE("Validate_TenMistakes_ReportsThemAllAtOnce") {
  Workshop shop;
  const std::string file = shop.Write("bad.yaml", R"(name: bad
sources:
  in:
    type: file
    path: in.ndjson
    format: ndjsn
    schema: {at: timestamp, k: strin, v: int64}
    time: {field: att, lateness: 5 parsecs}
  idle:
    type: fyle
operators:
  a:
    type: filter
    inputs: [in]
    wher: v > 1
  b:
    type: filter
    inputs: [nowhere]
    where: v > 1
  c:
    type: filter
    inputs: [d]
    where: v > 1
  d:
    type: filter
    inputs: [c]
    where: v > 1
sinks:
  out:
    type: file
    inputs: [a]
    colour: red
)");
  const Finished run = RunProgram(shop, {"validate", file});
  CHECK(run.code == 2);
  for (const char* word : {"ndjsn", "strin", "parsecs", "fyle", "wher", "nowhere", "circle", "path", "colour"}) {
    CAPTURE(std::string(word));
    CHECK_MESSAGE(Contains(run.err, word), run.err);
  }
  size_t errors = 0;
  for (size_t at = 0; (at = run.err.find(": error: ", at)) != std::string::npos; ++at) ++errors;
  CHECK_MESSAGE(errors >= 9, run.err);
  CHECK(RunProgram(shop, {"run", file}).code == 2);
}

TEST_CASE("Validate_GoodFile_SaysOk") {
  Workshop shop;
  const Finished run = RunProgram(shop, {"validate", shop.Write("sample.yaml", SamplePipeline())});
  CHECK_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.out, "ok (4 nodes"));
}

TEST_CASE("Test_FileWithTests_RunsThemEverywhere") {
  Workshop shop;
  const std::string file = shop.Write("sample.yaml", SamplePipeline(kTests));
  const Finished good = RunProgram(shop, {"test", file});
  CHECK_MESSAGE(good.code == 0, good.out, good.err);
  CHECK_MESSAGE(Contains(good.out, "2 passed, 0 failed"), good.out);
  const Finished crashed = RunProgram(shop, {"test", file, "--simulate", "20", "--seed", "7"});
  CHECK_MESSAGE(crashed.code == 0, crashed.out, crashed.err);

  std::string wrong = SamplePipeline(kTests);
  wrong.replace(wrong.find("s: 42"), 5, "s: 43");
  const Finished bad = RunProgram(shop, {"test", shop.Write("wrong.yaml", wrong)});
  CHECK(bad.code == 5);
  CHECK_MESSAGE(Contains(bad.out, "s: expected 43, got 42"), bad.out);
  CHECK_MESSAGE(Contains(bad.out, "1 passed, 1 failed"), bad.out);
}

TEST_CASE("Test_RowsThatWaitForMaxJump_ComeOutAtTheEnd") {
  Workshop shop;
  const std::string file = shop.Write("sample.yaml", SamplePipeline(kTests));
  const Finished run = RunProgram(shop, {"test", file, "--only", "big enough", "--set", "sources.in.time.max_jump=1h"});
  CHECK_MESSAGE(run.code == 0, run.out, run.err);
  CHECK_MESSAGE(Contains(run.out, "1 passed, 0 failed"), run.out);
}

TEST_CASE("Plan_Sample_ShowsCellsDotAndMermaid") {
  Workshop shop;
  const std::string file = shop.Write("sample.yaml", SamplePipeline());
  const Finished text = RunProgram(shop, {"plan", file, "--lanes", "3"});
  CHECK_MESSAGE(text.code == 0, text.err);
  CHECK_MESSAGE(Contains(text.out, "3 lanes"), text.out);
  CHECK(Contains(RunProgram(shop, {"plan", file, "--dot"}).out, "digraph"));
  CHECK(Contains(RunProgram(shop, {"plan", file, "--mermaid"}).out, "graph"));
}

TEST_CASE("Help_Topics_AreAnswered") {
  Workshop shop;
  CHECK(Contains(RunProgram(shop, {"help", "window"}).out, "aggregates"));
  CHECK(Contains(RunProgram(shop, {"help", "exit-codes"}).out, "the state (or an output) is in use"));
  CHECK(Contains(RunProgram(shop, {"help", "expressions"}).out, "coalesce"));
  const Finished typo = RunProgram(shop, {"help", "filtr"});
  CHECK(typo.code == 2);
  CHECK(Contains(typo.err, "freshet help filter"));
  CHECK(Contains(RunProgram(shop, {"schema"}).out, "\"$schema\""));
  CHECK(Contains(RunProgram(shop, {"version"}).out, "freshet "));
}

TEST_CASE("Bench_Target_DecidesTheExitCode") {
  Workshop shop;
  const Finished met = RunProgram(shop, {"bench", "--records", "20000", "--target", "60/min"});
  CHECK_MESSAGE(met.code == 0, met.err);
  CHECK(Contains(met.out, "met"));
  const Finished missed = RunProgram(shop, {"bench", "--records", "20000", "--target", "1000000000000/s"});
  CHECK_MESSAGE(missed.code == 5, missed.err);
}
