// Pipeline files edited while they run: what fits is taken over without a row lost or doubled, the rest is refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "engine/cli/reload.h"
#include "tests/cli/program.h"
#include "tests/cli/sample.h"

using namespace freshet::testing;

namespace {

constexpr int kRows = 3000;
constexpr int kBefore = 1300;

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// The sample with more after its filter.
std::string WithBranch() {
  return Replaced(SamplePipeline(), "sinks:\n",
                  "  even:\n    type: filter\n    inputs: [big]\n    where: v % 2 = 0\n"
                  "sinks:\n  evens:\n    type: file\n    path: evens.ndjson\n    format: ndjson\n    inputs: [even]\n");
}

/// A program that follows in.ndjson, with the sample in sample.yaml.
class Follower {
 public:
  explicit Follower(std::vector<std::string> more = {}, const std::string& pipeline = SamplePipeline()) {
    shop_.Write("in.ndjson", SampleRows(0, kBefore));
    file_ = shop_.Write("sample.yaml", pipeline);
    std::vector<std::string> arguments = {"run",    file_,         "--state", shop_.Path("state"),
                                          "--http", "127.0.0.1:0", "--set",   "sources.in.follow=true"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    program_ = std::make_unique<Program>(shop_, arguments);
    REQUIRE_MESSAGE(Eventually([&] { return !program_->running() || Number("\"id\":\"in\"", "read") == kBefore; }),
                    program_->err());
    REQUIRE_MESSAGE(program_->running(), program_->err());
  }
  const Workshop& shop() const { return shop_; }
  Program& program() { return *program_; }
  std::string View() const {
    const std::string address = shop_.Read("state/http.addr");
    return address.empty() ? address : HttpGet(address.substr(0, address.size() - 1), "/api/v1/pipeline");
  }
  int64_t Number(const std::string& anchor, const std::string& key) const { return NumberAfter(View(), anchor, key); }
  void Edit(const std::string& pipeline) const { shop_.Write("sample.yaml", pipeline); }
  /// Edits, asks for it, and waits until it was taken over or refused.
  void Reload(const std::string& pipeline, bool taken) {
    Edit(pipeline);
    program_->Signal(SIGHUP);
    WaitFor(taken);
  }
  void WaitFor(bool taken) {
    const char* key = taken ? "reloads" : "reloads_refused";
    REQUIRE_MESSAGE(Eventually([&] {
                      return !program_->running() ||
                             (Number("{", key) > 0 && Contains(View(), "\"phase\":\"running\""));
                    }),
                    program_->err());
    REQUIRE_MESSAGE(program_->running(), program_->err());
    CHECK(Number("{", taken ? "reloads_refused" : "reloads") == 0);
  }
  /// The rest of the input, a stop, and a run to the end: what is in out.ndjson then.
  std::string Output(int from = kBefore) {
    shop_.Append("in.ndjson", SampleRows(from, kRows));
    REQUIRE_MESSAGE(Eventually([&] { return !program_->running() || Number("\"id\":\"in\"", "read") == kRows; }),
                    program_->err());
    program_->Signal(SIGTERM);
    CHECK_MESSAGE(program_->Wait() == 0, program_->err());
    const Finished last = RunProgram(shop_, {"run", file_, "--state", shop_.Path("state"), "--http", "off"});
    CHECK_MESSAGE(last.code == 0, last.err);
    CHECK_MESSAGE(Contains(last.err, "read 3,000 = emitted 3,000"), last.err);
    return shop_.Read("out.ndjson");
  }

 private:
  Workshop shop_;
  std::string file_;
  std::unique_ptr<Program> program_;
};

/// What the sample writes when it is never touched.
const std::string& Undisturbed() {
  static const std::string output = [] {
    Workshop shop;
    shop.Write("in.ndjson", SampleRows(0, kRows));
    const Finished run = RunProgram(
        shop, {"run", shop.Write("sample.yaml", SamplePipeline()), "--http", "off", "--state", shop.Path("state")});
    REQUIRE_MESSAGE(run.code == 0, run.err);
    return shop.Read("out.ndjson");
  }();
  return output;
}

}  // namespace

TEST_CASE("Reload_CompatibleChange_WritesWhatAnUndisturbedRunWrites") {
  Follower run;
  run.Reload(
      Replaced(Replaced(SamplePipeline(), "parallelism: 2", "parallelism: 1"), "where: v >= 10", "where: 10 <= v"),
      true);
  CHECK_MESSAGE(Contains(run.program().err(), "kept in, w, out; restarted big"), run.program().err());
  CHECK(run.Output() == Undisturbed());
}

TEST_CASE("Reload_OperatorsAddedThenRemoved_TheRestGoesOn") {
  Follower run;
  run.Reload(WithBranch(), true);
  CHECK_MESSAGE(Contains(run.program().err(), "kept in, big, w, out; added even, evens"), run.program().err());
  run.shop().Append("in.ndjson", SampleRows(kBefore, kBefore + 200));
  REQUIRE_MESSAGE(Eventually([&] { return run.Number("\"id\":\"in\"", "read") == kBefore + 200; }),
                  run.program().err());
  REQUIRE_MESSAGE(Eventually([&] { return run.Number("\"id\":\"evens\"", "in") > 0; }), run.program().err());
  run.Edit(SamplePipeline());
  run.program().Signal(SIGHUP);
  REQUIRE_MESSAGE(Eventually([&] { return run.Number("{", "reloads") == 2; }), run.program().err());
  CHECK_MESSAGE(Contains(run.program().err(), "removed even, evens"), run.program().err());
  // Only rows that came while it was there.
  const std::string evens = run.shop().Read("evens.ndjson") + run.shop().Read("evens.ndjson.part");
  CHECK(!evens.empty());
  CHECK_FALSE(Contains(evens, "\"v\":11,"));
  CHECK(run.Output(kBefore + 200) == Undisturbed());
}

TEST_CASE("Reload_BrokenFile_IsExplainedAndTheOldOneGoesOn") {
  Follower run;
  run.Reload(Replaced(SamplePipeline(), "where: v >= 10", "where: w >= 10"), false);
  CHECK_MESSAGE(Contains(run.program().err(), "sample.yaml:"), run.program().err());
  CHECK(Contains(run.program().err(), "error:"));
  CHECK(Contains(run.program().err(), "not reloaded"));
  run.Edit(SamplePipeline());
  CHECK(run.Output() == Undisturbed());
}

TEST_CASE("Reload_StateThatWouldNotFit_IsRefusedBeforeAnythingStops") {
  Follower run;
  const int64_t epoch = run.Number("\"checkpoint\"", "restored_epoch");
  run.Reload(Replaced(SamplePipeline(), "key: [k]", "key: [v]"), false);
  CHECK_MESSAGE(Contains(run.program().err(), "node `w`"), run.program().err());
  CHECK(Contains(run.program().err(), "rename the id"));
  CHECK(run.Number("\"checkpoint\"", "restored_epoch") == epoch);  // it was never stopped
  run.Edit(SamplePipeline());
  CHECK(run.Output() == Undisturbed());
}

TEST_CASE("Reload_RenamedPipeline_IsRefused") {
  Follower run;
  run.Reload(Replaced(SamplePipeline(), "name: sample", "name: another"), false);
  CHECK_MESSAGE(Contains(run.program().err(), "keep the name"), run.program().err());
}

TEST_CASE("Reload_RuleOfAnotherRunningPipeline_IsRefused") {
  const Workshop shop;
  shop.Write("in.ndjson", SampleRows(0, 100));
  const auto write = [&](const std::string& name, const std::string& rule) {
    return shop.Write(name + ".yaml",
                      "name: watch\nsettings:\n  checkpoint: {path: " + name +
                          "_state}\nsources:\n  in:\n    type: file\n    path: in.ndjson\n    format: ndjson\n"
                          "    follow: true\n    schema: {at: timestamp, k: string, v: int64}\n"
                          "    time: {field: at, lateness: 1s}\noperators:\n  " +
                          rule + ": {type: alert, inputs: [in], when: v > 5, key: [k]}\nsinks:\n  out_" + name +
                          ": {type: blackhole, inputs: [" + rule + "]}\n");
  };
  const std::string a = write("a", "high"), b = write("b", "low");
  Program program(shop, {"run", a, b, "--http", "127.0.0.1:0"});
  const auto told = [&](const std::string& text) {
    return Eventually([&] { return !program.running() || Contains(program.err(), text); });
  };
  REQUIRE_MESSAGE(Eventually([&] { return !program.running() || !shop.Read("b_state/http.addr").empty(); }),
                  program.err());
  REQUIRE_MESSAGE(program.running(), program.err());
  write("b", "high");
  program.Signal(SIGHUP);
  REQUIRE_MESSAGE(told("not reloaded: the edited file is wrong"), program.err());
  CHECK_MESSAGE(Contains(program.err(), "has a rule `high`, too"), program.err());
  CHECK(program.running());
  program.Signal(SIGTERM);
  program.Wait();
}

TEST_CASE("Reload_NewGraphDoesNotStart_TheOldOneStartsAgain") {
  Follower run;
  // A second source whose file is not there: seen only when it is opened.
  run.Reload(Replaced(Replaced(SamplePipeline(), "operators:\n",
                               "  more:\n    type: file\n    path: absent.ndjson\n    format: ndjson\n"
                               "    schema: {at: timestamp, k: string, v: int64}\n"
                               "    time: {field: at, lateness: 1s}\noperators:\n"),
                      "sinks:\n", "sinks:\n  other:\n    type: blackhole\n    inputs: [more]\n"),
             false);
  CHECK_MESSAGE(Contains(run.program().err(), "did not start, the old one goes on"), run.program().err());
  CHECK(Contains(run.program().err(), "absent.ndjson"));
  run.Edit(SamplePipeline());
  CHECK(run.Output() == Undisturbed());
}

TEST_CASE("Reload_Watch_SeesTheFileAndWhatItIncludes") {
  const std::string pipeline = Replaced(
      SamplePipeline(), "  big:\n    type: filter\n    inputs: [in]\n    where: v >= 10\n", "  include: big.yaml\n");
  std::unique_ptr<Follower> run;
  {
    // The included file has to be there at the start.
    Workshop shop;
    const std::string big = "big:\n  type: filter\n  inputs: [in]\n  where: v >= 10\n";
    const std::string path = shop.Write("big.yaml", big);
    run = std::make_unique<Follower>(std::vector<std::string>{"--watch"}, Replaced(pipeline, "big.yaml", path));
    shop.Write("big.yaml", Replaced(big, "v >= 10", "10 <= v"));
    run->WaitFor(true);
    CHECK_MESSAGE(Contains(run->program().err(), "restarted big"), run->program().err());
  }
  run->Edit(SamplePipeline());
  REQUIRE_MESSAGE(Eventually([&] { return run->Number("{", "reloads") == 2; }), run->program().err());
  CHECK(run->Output() == Undisturbed());
}

TEST_CASE("Reload_SameFile_DoesNothing") {
  Follower run;
  run.program().Signal(SIGHUP);
  REQUIRE(Eventually([&] { return Contains(run.program().err(), "nothing to reload"); }));
  CHECK(run.Number("{", "reloads") == 0);
  CHECK(run.Output() == Undisturbed());
}

TEST_CASE("Reload_StandardInput_StaysOpenAndLosesNothing") {
  const std::string pipeline = Replaced(SamplePipeline(), "type: file\n    path: in.ndjson", "type: stdin");
  Workshop shop;
  const std::string file = shop.Write("sample.yaml", pipeline);
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  Program program(shop, {"run", file, "--state", shop.Path("state"), "--http", "127.0.0.1:0"}, ends[0]);
  close(ends[0]);
  const auto feed = [&](const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = write(ends[1], text.data() + at, text.size() - at);
      REQUIRE(n > 0);
      at += static_cast<size_t>(n);
    }
  };
  const auto number = [&](const std::string& anchor, const std::string& key) {
    const std::string address = shop.Read("state/http.addr");
    return address.empty()
               ? int64_t{-1}
               : NumberAfter(HttpGet(address.substr(0, address.size() - 1), "/api/v1/pipeline"), anchor, key);
  };
  const std::string rows = SampleRows(0, kRows);
  // In the middle of a record, three times.
  int64_t reloads = 0;
  size_t at = 0;
  for (const size_t until : {rows.size() / 4 + 7, rows.size() / 2 + 3, rows.size() * 3 / 4 + 20}) {
    feed(rows.substr(at, until - at));
    at = until;
    REQUIRE_MESSAGE(Eventually([&] { return number("\"id\":\"in\"", "read") > 0; }), program.err());
    shop.Write("sample.yaml", reloads % 2 == 0 ? Replaced(pipeline, "where: v >= 10", "where: 10 <= v") : pipeline);
    program.Signal(SIGHUP);
    ++reloads;
    REQUIRE_MESSAGE(Eventually([&] { return !program.running() || number("{", "reloads") == reloads; }), program.err());
    REQUIRE_MESSAGE(program.running(), program.err());
  }
  // Its own options cannot change.
  shop.Write("sample.yaml", Replaced(pipeline, "lateness: 1s", "lateness: 2s"));
  program.Signal(SIGHUP);
  REQUIRE_MESSAGE(Eventually([&] { return number("{", "reloads_refused") == 1; }), program.err());
  CHECK_MESSAGE(Contains(program.err(), "cannot be read from the start again"), program.err());
  feed(rows.substr(at));
  close(ends[1]);
  CHECK_MESSAGE(program.Wait() == 0, program.err());
  CHECK_MESSAGE(Contains(program.err(), "read 3,000 = emitted 3,000"), program.err());
  CHECK(shop.Read("out.ndjson") == Undisturbed());
}

TEST_CASE("Reload_StopWhileReloading_Stops") {
  Follower run;
  run.Edit(WithBranch());
  run.program().Signal(SIGHUP);
  run.program().Signal(SIGTERM);
  CHECK_MESSAGE(run.program().Wait() == 0, run.program().err());
}

TEST_CASE("FileWatch_Changes_AreToldOnceTheyHaveSettled") {
  Workshop shop;
  const std::string a = shop.Write("a", "1");
  freshet::cli::FileWatch watch(freshet::Env::Posix(), {a});
  CHECK_FALSE(watch.Changed());
  shop.Append("a", "2");
  CHECK_FALSE(watch.Changed());  // it may still be written
  CHECK(watch.Changed());
  CHECK_FALSE(watch.Changed());
  (void)!remove(a.c_str());
  CHECK_FALSE(watch.Changed());
  CHECK_FALSE(watch.Changed());  // replaced by an editor, which is not there yet
  shop.Write("a", "34");
  CHECK_FALSE(watch.Changed());
  CHECK(watch.Changed());
}
