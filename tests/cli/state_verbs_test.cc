// `freshet state`, `freshet savepoint`, edits of a pipeline that has state: on the built program.
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/cli/program.h"
#include "tests/cli/sample.h"

using namespace freshet::testing;

namespace {

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE_MESSAGE(at != std::string::npos, from);
  return text.replace(at, from.size(), to);
}

/// A workshop with the sample in it.
struct Place {
  explicit Place(int rows = 3000) : file(shop.Write("sample.yaml", SamplePipeline())), state(shop.Path("state")) {
    shop.Write("in.ndjson", SampleRows(0, rows));
  }
  Finished Run(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"run", file, "--http", "off", "--state", state};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram(shop, arguments);
  }
  Finished Freshet(const std::vector<std::string>& arguments) const { return RunProgram(shop, arguments); }
  void Edit(const std::string& from, const std::string& to) {
    shop.Write("sample.yaml", Replaced(shop.Read("sample.yaml"), from, to));
  }
  Workshop shop;
  std::string file;
  std::string state;
};

std::string Undisturbed(int rows = 3000) {
  const Place place(rows);
  const Finished run = place.Run();
  REQUIRE_MESSAGE(run.code == 0, run.err);
  return place.shop.Read("out.ndjson");
}

}  // namespace

TEST_CASE("State_ListShowExportImport_TheCopyGoesOnAsTheOriginal") {
  const std::string expected = Undisturbed();
  const Place place;
  REQUIRE(place.Run({"--limit", "1500"}).code == 0);
  const Finished list = place.Freshet({"state", "ls", place.state});
  REQUIRE_MESSAGE(list.code == 0, list.err);
  CHECK_MESSAGE(Contains(list.out, "sample: epoch "), list.out);
  CHECK_MESSAGE(Contains(list.out, "table w/panes"), list.out);
  CHECK_MESSAGE(Contains(list.out, "1,500 records, open"), list.out);
  const Finished show = place.Freshet({"state", "show", place.state, "w"});
  CHECK_MESSAGE(Contains(show.out, "  k7  "), (show.out + show.err));
  const Finished one = place.Freshet({"state", "show", place.state, "w", "--key", "k7"});
  CHECK(Contains(one.out, "k7"));
  CHECK(!Contains(one.out, "k8"));
  CHECK(place.Freshet({"state", "show", place.state, "nobody"}).code == 3);

  const std::string moved = place.shop.Path("moved.fst");
  const Finished exported = place.Freshet({"state", "export", place.state, moved});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);
  const std::string elsewhere = place.shop.Path("elsewhere");
  const Finished imported = place.Freshet({"state", "import", elsewhere, moved});
  REQUIRE_MESSAGE(imported.code == 0, imported.err);
  CHECK(place.Freshet({"state", "import", elsewhere, moved}).code == 3);  // no longer empty
  const Finished run = RunProgram(place.shop, {"run", place.file, "--http", "off", "--state", elsewhere});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "went on from checkpoint"));
  CHECK(place.shop.Read("out.ndjson") == expected);
}

TEST_CASE("State_DirectoryThatIsNoState_IsRefusedAndLeftAsItIs") {
  const Place place;
  const std::string foreign = place.shop.Path("foreign");
  std::filesystem::create_directories(foreign + "/staging/deep");
  place.shop.Write("foreign/staging/deep/kept.txt", "mine");
  place.shop.Write("foreign/notes.txt", "mine too");
  std::filesystem::create_directories(foreign + "/db");
  place.shop.Write("foreign/db/schema.txt", "also mine");
  const auto listed = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(foreign)) names.insert(entry.path());
    return names;
  };
  const std::set<std::string> before = listed();
  REQUIRE(before.size() == 6);
  REQUIRE(place.Run({"--limit", "100"}).code == 0);
  const std::string moved = place.shop.Path("moved.fst");
  REQUIRE(place.Freshet({"state", "export", place.state, moved}).code == 0);
  const std::vector<std::vector<std::string>> calls = {{"state", "ls", foreign},
                                                       {"state", "show", foreign, "w"},
                                                       {"state", "drop", foreign, "w"},
                                                       {"state", "export", foreign, place.shop.Path("x.fst")},
                                                       {"savepoint", foreign},
                                                       {"savepoint", foreign, "now"},
                                                       {"alerts", "list", foreign},
                                                       {"alerts", "silence", "high", "--for", "1h", foreign},
                                                       {"alerts", "ack", "0123456789abcdef", foreign},
                                                       {"alerts", "label", "0123456789abcdef", "noise", foreign},
                                                       {"validate", place.file, "--against", foreign}};
  for (const auto& call : calls) {
    const Finished refused = place.Freshet(call);
    CHECK_MESSAGE((refused.code == 2 || refused.code == 3), (call[0] + " " + refused.out));
    CHECK_MESSAGE(Contains(refused.err, "there is no state in " + foreign), refused.err);
    CHECK(listed() == before);
  }
  const Finished run = place.Freshet({"run", place.file, "--state", foreign, "--fresh", "--http", "off"});
  CHECK(run.code != 0);
  CHECK_MESSAGE(Contains(run.err, "which Freshet has not made"), run.err);
  CHECK(listed() == before);
  const Finished refused = place.Freshet({"state", "import", foreign, moved});
  CHECK(refused.code == 3);
  CHECK_MESSAGE(Contains(refused.err, "is no state, and not empty"), refused.err);
  CHECK(listed() == before);
}

TEST_CASE("State_DropNode_ItStartsEmptyAndTheLawHolds") {
  Place place;
  REQUIRE(place.Run({"--limit", "1500"}).code == 0);
  const Finished wrong = place.Freshet({"state", "drop", place.state, "nobody"});
  CHECK(wrong.code == 3);
  CHECK_MESSAGE(Contains(wrong.err, "it has big, in"), wrong.err);
  const Finished drop = place.Freshet({"state", "drop", place.state, "w"});
  REQUIRE_MESSAGE(drop.code == 0, drop.err);
  CHECK(!Contains(place.Freshet({"state", "ls", place.state}).out, "w/panes"));
  const Finished run = place.Run();
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(!Contains(run.err, "NOT ACCOUNTED FOR"));
}

TEST_CASE("Savepoint_MadeAtRest_ARunGoesBackToIt") {
  const std::string expected = Undisturbed();
  const Place place;
  REQUIRE(place.Run({"--limit", "1200"}).code == 0);
  const Finished made = place.Freshet({"savepoint", place.state, "before"});
  REQUIRE_MESSAGE(made.code == 0, made.err);
  CHECK(Contains(made.out, "before  epoch "));
  CHECK(place.Freshet({"savepoint", place.state, "before"}).code == 3);
  CHECK(place.Freshet({"savepoint", place.state, "../x"}).code == 2);
  REQUIRE(place.Run().code == 0);
  CHECK(place.shop.Read("out.ndjson") == expected);
  const Finished back = place.Run({"--savepoint", "before"});
  REQUIRE_MESSAGE(back.code == 0, back.err);
  CHECK(Contains(back.err, "1,800 records"));
  CHECK(place.shop.Read("out.ndjson") == expected);
  const Finished unknown = place.Run({"--savepoint", "after"});
  CHECK(unknown.code == 3);
  CHECK(Contains(unknown.err, "there are before"));
}

TEST_CASE("Savepoint_OfARunningEngine_IsTakenThroughIt") {
  const std::string expected = Undisturbed(2000);
  const Place place(1000);
  {
    Program running(place.shop, {"run", place.file, "--state", place.state, "--http", "127.0.0.1:0", "--set",
                                 "sources.in.follow=true"});
    REQUIRE(Eventually([&] {
      return !running.running() || Contains(RunProgram(place.shop, {"state", "ls", place.state}).out, "1,000 records");
    }));
    REQUIRE_MESSAGE(running.running(), running.err());
    const Finished made = place.Freshet({"savepoint", place.state, "live"});
    REQUIRE_MESSAGE(made.code == 0, made.err);
    CHECK(!Contains(place.Freshet({"savepoint", place.state}).out, "look-"));
    CHECK(place.Freshet({"state", "drop", place.state, "w"}).code == 4);
    place.shop.Append("in.ndjson", SampleRows(1000, 1500));
    running.Signal(SIGTERM);
    REQUIRE(running.Wait() == 0);
  }
  place.shop.Append("in.ndjson", SampleRows(1500, 2000));
  const Finished back = place.Run({"--savepoint", "live"});
  REQUIRE_MESSAGE(back.code == 0, back.err);
  CHECK(place.shop.Read("out.ndjson") == expected);
}

TEST_CASE("Edit_Compatible_GoesOnWithEqualOutput") {
  const std::string expected = Undisturbed();
  const std::string more =
      "  small:\n    type: filter\n    inputs: [in]\n    where: v < 3\nsinks:\n"
      "  rest:\n    type: file\n    path: rest.ndjson\n    inputs: [small]";
  Place place;
  const auto begin = [&] { REQUIRE(place.Run({"--limit", "1500"}).code == 0); };
  SUBCASE("an operator and a sink more") {
    begin();
    place.Edit("sinks:", more);
  }
  SUBCASE("an operator and a sink less") {
    place.Edit("sinks:", more);
    begin();
    place.Edit(more, "sinks:");
  }
  SUBCASE("options that do not touch the state") {
    begin();
    place.Edit("every: 50ms", "every: 2s");
    place.Edit("parallelism: 2", "parallelism: 1");
  }
  const Finished check = place.Freshet({"validate", place.file, "--against", place.state});
  CHECK_MESSAGE(check.code == 0, (check.out + check.err));
  CHECK(Contains(check.out, "kept      w\n"));
  const Finished run = place.Run();
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(place.shop.Read("out.ndjson") == expected);
}

TEST_CASE("Edit_Incompatible_IsRefusedWithTheNodesNameAndTheWaysOut") {
  Place place;
  REQUIRE(place.Run({"--limit", "1500"}).code == 0);
  SUBCASE("the window's size") { place.Edit("tumbling: 10s", "tumbling: 20s"); }
  SUBCASE("the key") { place.Edit("key: [k]", "key: [v]"); }
  SUBCASE("another type under the same id") {
    place.Edit("  big:\n    type: filter\n    inputs: [in]\n    where: v >= 10\n",
               "  big:\n    type: derive\n    inputs: [in]\n    columns: {twice: v * 2}\n");
  }
  const Finished check = place.Freshet({"validate", place.file, "--against", place.state});
  CHECK_MESSAGE(check.code == 4, (check.out + check.err));
  CHECK_MESSAGE(Contains(check.out, "refused   "), check.out);
  const Finished run = place.Run();
  CHECK_MESSAGE(run.code == 4, run.err);
  CHECK_MESSAGE((Contains(run.err, "node `w`") || Contains(run.err, "node `big`")), run.err);
  CHECK_MESSAGE(Contains(run.err, "--fresh"), run.err);
}

TEST_CASE("Edit_RemovedAndNewNodes_AreNamedByValidate") {
  Place place;
  REQUIRE(place.Run({"--limit", "1500"}).code == 0);
  place.Edit("  w:\n", "  w2:\n");
  place.Edit("inputs: [w]", "inputs: [w2]");
  const Finished check = place.Freshet({"validate", place.file, "--against", place.state});
  CHECK(check.code == 0);
  CHECK(Contains(check.out, "new       w2\n"));
  CHECK(Contains(check.out, "unused    w\n"));
  const Finished run = place.Run();
  CHECK_MESSAGE(run.code == 0, run.err);
}

// Checkpoints of every format there was, as `freshet state export` wrote them halfway through the sample, with the
// output of that moment. FRESHET_ACCEPT=1 adds the present format; what is there is never written again.
TEST_CASE("StateFormat_CheckpointOfAnEarlierFormat_IsRestoredAndContinued") {
  namespace fs = std::filesystem;
  const std::string folder = std::string(FRESHET_SOURCE_DIR) + "/tests/state/formats/";
  const std::string newest = folder + "format_1";
  const std::string expected = Undisturbed();
  // Partitions are named by their path: relative here, so that it is the same everywhere.
  const fs::path before = fs::current_path();
  const std::vector<std::string> run_here = {"run", "sample.yaml", "--http", "off", "--state", "state"};
  if (std::getenv("FRESHET_ACCEPT") != nullptr && !fs::exists(newest + ".state")) {
    const Place place;
    fs::current_path(place.shop.Path(""));
    std::vector<std::string> half = run_here;
    half.insert(half.end(), {"--limit", "1500"});
    REQUIRE(place.Freshet(half).code == 0);
    REQUIRE(place.Freshet({"state", "export", place.state, newest + ".state"}).code == 0);
    fs::copy(place.shop.Path("out.ndjson"), newest + ".out");
  }
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".state") continue;
    CAPTURE(entry.path().string());
    ++count;
    const Place place;
    fs::copy(fs::path(entry.path()).replace_extension(".out"), place.shop.Path("out.ndjson"));
    const Finished imported = place.Freshet({"state", "import", place.state, entry.path()});
    REQUIRE_MESSAGE(imported.code == 0, imported.err);
    fs::current_path(place.shop.Path(""));
    const Finished run = place.Freshet(run_here);
    fs::current_path(before);
    REQUIRE_MESSAGE(run.code == 0, run.err);
    CHECK(Contains(run.err, "1,500 records"));
    CHECK(place.shop.Read("out.ndjson") == expected);
  }
  CHECK(count >= 1);
}

TEST_CASE("StateFormat_FileOfANewerFormat_IsRefused") {
  const Place place;
  REQUIRE(place.Run({"--limit", "100"}).code == 0);
  const std::string moved = place.shop.Path("moved.fst");
  REQUIRE(place.Freshet({"state", "export", place.state, moved}).code == 0);
  std::string bytes = place.shop.Read("moved.fst");
  bytes[4] = 9;
  place.shop.Write("moved.fst", bytes);
  const Finished imported = place.Freshet({"state", "import", place.shop.Path("elsewhere"), moved});
  CHECK(imported.code == 4);
  CHECK(Contains(imported.err, "newer Freshet"));
}
