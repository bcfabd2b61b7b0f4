// `freshet alerts` on the built program: what people say of alerts is durable, or refused.
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>

#include "tests/cli/watch.h"

using namespace freshet::testing;

namespace {

const std::string kPipeline = WatchThatFollows("  parallelism: 2\n", R"(  high:
    type: alert
    inputs: [in]
    value: v
    threshold: 10
    key: [k]
    message: "{k} is at {v:.1f}"
  told:
    type: notify
    inputs: [high]
    budget: 100/day
)" + OutOf("told"));

struct Place : WatchPlace {
  explicit Place(const std::string& pipeline = kPipeline) : WatchPlace(pipeline) {}
  void Start(const std::vector<std::string>& more = {}) {
    // Looks whether the state is free: the program that starts must not mind.
    WatchPlace::Start(more, [&] { (void)Alerts({"list", state}); });
  }
  Finished Alerts(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "alerts");
    return RunProgram(shop, arguments);
  }
  /// Waits for so many rows of alerts on disk.
  bool Told(size_t rows) const {
    return Eventually([&] { return CountOf(shop.Read("out.ndjson"), "\n") >= rows; });
  }
  /// Waits until `list`, which shows the newest checkpoint, has this.
  bool Listed(const std::string& text) const {
    return Eventually([&] { return Contains(Alerts({"list", state}).out, text); });
  }
};

std::string FirstId(const std::string& out) {
  const std::string name = "\"alert_id\":\"";
  const size_t at = out.find(name);
  REQUIRE_MESSAGE(at != std::string::npos, out);
  return out.substr(at + name.size(), 16);
}

}  // namespace

TEST_CASE("Alerts_LabelThenKill_TheThresholdStaysMoved") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "a", 1) + Row(3, "b", 1));
  place.Start();
  REQUIRE(place.Told(2));
  const std::string id = FirstId(place.shop.Read("out.ndjson"));
  const Finished label = place.Alerts({"label", id, "noise", place.state});
  REQUIRE_MESSAGE(label.code == 0, label.err);
  place.Kill();
  const Finished read = place.Alerts({"show", id, place.state});  // from the state, without an engine
  CHECK_MESSAGE(Contains(read.out, "times 1.7411 for this key, after 0 useful and 1 noise"), read.out << read.err);
  CHECK_MESSAGE(Contains(read.out, "label         noise"), read.out);
  place.Start();
  // 10 has become 17.41 for a, not for b.
  place.shop.Append("in.ndjson",
                    Row(10, "a", 17.3) + Row(11, "b", 12) + Row(12, "a", 17.5) + Row(13, "b", 1) + Row(14, "b", 1));
  REQUIRE(place.Told(5));
  const std::string out = place.shop.Read("out.ndjson");
  CHECK_MESSAGE(CountOf(out, "\"message\":\"a is at 17.3\"") == 0, out);
  CHECK_MESSAGE(CountOf(out, "\"message\":\"a is at 17.5\"") == 1, out);
  CHECK_MESSAGE(CountOf(out, "\"message\":\"b is at 12.0\"") == 2, out);
  CHECK(place.Listed("watch: 1 on, 2 over; as of checkpoint "));
  const Finished list = place.Alerts({"list", place.state});
  CHECK_MESSAGE(Contains(list.out, "told: 3 told and 0 held back for 100 a day"), list.out);
  CHECK_MESSAGE(Contains(list.out, "[noise]"), list.out);
}

TEST_CASE("Alerts_OrderToOneOfSeveralRules_IsObeyedByTheOneThatKnowsTheAlert") {
  Place place(WatchThatFollows("", R"(  high: {type: alert, inputs: [in], value: v, threshold: 10, key: [k]}
  higher: {type: alert, inputs: [in], value: v, threshold: 20, key: [k]}
  highest: {type: alert, inputs: [in], value: v, threshold: 30, key: [k]}
)" + OutOf("high, higher, highest")));
  place.shop.Append("in.ndjson", Row(1, "a", 25) + Row(2, "a", 1) + Row(3, "a", 1));
  place.Start();
  REQUIRE(place.Told(4));
  const std::string out = place.shop.Read("out.ndjson");
  const auto id_of = [&](const std::string& rule) {
    const size_t at = out.find("\"rule\":\"" + rule + "\"");
    REQUIRE_MESSAGE(at != std::string::npos, out);
    return FirstId(out.substr(out.rfind('{', at)));
  };
  // Each rule is asked; the first and the last one know nothing of it.
  const Finished label = place.Alerts({"label", id_of("higher"), "noise", place.state});
  CHECK_MESSAGE(label.code == 0, label.err);
  const Finished unknown = place.Alerts({"label", "0123456789abcdef", "noise", place.state});
  CHECK(unknown.code != 0);
  CHECK_MESSAGE(Contains(unknown.err, "no alert `0123456789abcdef`"), unknown.err);
  place.Kill();
  CHECK(Contains(place.Alerts({"show", id_of("higher"), place.state}).out, "label         noise"));
  CHECK_FALSE(Contains(place.Alerts({"show", id_of("high"), place.state}).out, "label         noise"));
}

TEST_CASE("Alerts_SilenceOfARule_HoldsThroughARestartAndEnds") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 1) + Row(2, "a", 1));
  place.Start();
  // Until 2023-11-14T22:14:20Z, second 60 of the stream.
  const Finished silence = place.Alerts({"silence", "high", "--until", "2023-11-14T22:14:20Z", place.state});
  REQUIRE_MESSAGE(silence.code == 0, silence.err);
  place.Kill();
  place.Start();
  CHECK(Contains(place.Alerts({"list", place.state}).out, "high is silenced until 2023-11-14T22:14:20Z"));
  place.shop.Append("in.ndjson",
                    Row(10, "a", 20) + Row(11, "b", 20) + Row(12, "b", 1) + Row(70, "c", 1) + Row(71, "c", 1));
  REQUIRE(place.Told(1));
  CHECK_MESSAGE(Contains(place.shop.Read("out.ndjson"), "\"k\":\"a\",\"state\":\"firing\""),
                place.shop.Read("out.ndjson"));
  CHECK(place.Listed("unheard"));  // b came and went
  REQUIRE(place.Alerts({"silence", "high", "--for", "87600h", place.state}).code == 0);
  place.shop.Append("in.ndjson", Row(80, "d", 20) + Row(81, "d", 20));
  REQUIRE(place.Listed("held "));
  REQUIRE(place.Alerts({"silence", "high", "--end", place.state}).code == 0);
  place.shop.Append("in.ndjson", Row(90, "c", 1) + Row(91, "c", 1));
  REQUIRE(place.Told(2));
  CHECK(Contains(place.shop.Read("out.ndjson"), "\"k\":\"d\",\"state\":\"firing\""));
}

TEST_CASE("Alerts_Acknowledge_IsShownAndWrongWordsAreRefused") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "b", 1) + Row(3, "b", 1));
  CHECK(place.Alerts({"list", place.state}).code == 2);  // no state yet
  place.Start();
  REQUIRE(place.Told(1));
  const std::string id = FirstId(place.shop.Read("out.ndjson"));
  REQUIRE(place.Alerts({"ack", id, place.file}).code != 0);  // the file's own state directory has nothing
  REQUIRE(place.Alerts({"ack", id, place.state}).code == 0);
  const Finished show = place.Alerts({"show", id, place.state});
  CHECK_MESSAGE(Contains(show.out, "acknowledged  20"), show.out);
  CHECK_MESSAGE(Contains(show.out, "state         firing"), show.out);
  CHECK_MESSAGE(Contains(show.out, "message       a is at 12.0"), show.out);
  CHECK(place.Alerts({"ack", "0123456789abcdef", place.state}).code == 2);
  CHECK(place.Alerts({"ack", "high", place.state}).code == 2);
  CHECK(place.Alerts({"label", id, "boring", place.state}).code == 2);
  CHECK(place.Alerts({"silence", "low", "--for", "1h", place.state}).code == 2);
  CHECK(place.Alerts({"silence", id, place.state}).code == 2);
  CHECK(place.Alerts({"show", "0123456789abcdef", place.state}).code == 2);
  std::string address = place.shop.Read("state/http.addr");
  address.pop_back();
  CHECK(Contains(HttpGet(address, "/api/v1/alerts"), "\"alert_id\":\"" + id + "\""));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/label"), " 404 "));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/" + id), "\"alert_id\":\"" + id + "\""));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/0123456789abcdef"), " 404 "));
}

TEST_CASE("Alerts_BudgetOfAnAlert_IsThatOfANotifyBehindIt") {
  const Workshop shop;
  std::string rows;
  for (int i = 0; i < 40; ++i) rows += Row(i, ("k" + std::to_string(i % 9)).c_str(), i % 9 == i / 9 ? 20.0 + i : 1.0);
  shop.Write("in.ndjson", rows);
  const auto pipeline = [](const std::string& option, const std::string& step, const std::string& from) {
    return Watch(step + R"(  high:
    type: alert
    inputs: [in]
    when: v > 10
    key: [k]
    message: "{k} is at {v:.1f}"
)" + option + OutOf(from) +
                 R"(tests:
  - name: the second one is beyond the budget
    feed:
      in:
        - {at: 2026-01-01T00:00:00Z, k: a, v: 11}
        - {at: 2026-01-01T00:00:01Z, k: b, v: 12}
        - {at: 2026-01-01T00:00:02Z, k: a, v: 1}
        - {at: 2026-01-01T00:00:03Z, k: b, v: 1}
    expect:
      )" + from + ": [{k: a, state: firing}, {k: a, state: resolved}]\n");
  };
  const auto run = [&](const std::string& text) {
    const Finished done = RunProgram(
        shop, {"run", shop.Write("p.yaml", text), "--fresh", "--http", "off", "--state", shop.Path("state")});
    REQUIRE_MESSAGE(done.code == 0, done.err);
    return shop.Read("out.ndjson");
  };
  const std::string all = run(pipeline("", "", "high"));
  const std::string told = "  told: {type: notify, inputs: [high], budget: 1/day}\n";
  const std::string by_step = run(pipeline("", told, "told"));
  const std::string with_option = pipeline("    budget: 1/day\n", "", "high");
  CHECK(run(with_option) == by_step);
  CHECK(CountOf(all, "\"state\":\"firing\"") == 4);
  CHECK(CountOf(by_step, "\"state\":\"firing\"") == 1);
  const Finished plan = RunProgram(shop, {"plan", shop.Path("p.yaml")});
  CHECK_MESSAGE(Contains(plan.out, "high.budget"), plan.out);
  const Finished tests = RunProgram(shop, {"test", shop.Path("p.yaml")});
  CHECK_MESSAGE(tests.code == 0, (tests.out + tests.err));
}

TEST_CASE("Alerts_BeyondTheBudgetOfAnInhibitor_InhibitAllTheSame") {
  const Workshop shop;
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += Row(i, i % 2 == 0 ? "a" : "b", i < 5 || i > 16 ? 1.0 : i < 12 ? 20.0 : 12.0);
  shop.Write("in.ndjson", rows);
  const std::string file = shop.Write("p.yaml", Watch(R"(  down:
    type: alert
    inputs: [in]
    when: v > 10
    key: [k]
    budget: 1/day
  slow:
    type: alert
    inputs: [in]
    when: v > 15
    key: [k]
  pages: {type: inhibit, inputs: [slow, down], equal: [k]}
)" + OutOf("pages") + "  outages: {type: file, path: outages.ndjson, format: ndjson, inputs: [down]}\n"));
  const Finished done = RunProgram(shop, {"run", file, "--http", "off", "--state", shop.Path("state")});
  REQUIRE_MESSAGE(done.code == 0, done.err);
  CHECK(CountOf(shop.Read("outages.ndjson"), "\"state\":\"firing\"") == 1);
  CHECK_MESSAGE(shop.Read("out.ndjson").empty(), shop.Read("out.ndjson"));
}

TEST_CASE("Alerts_GivenMoreColumns_StateOfWhatReadsThemGoesOn") {
  const Workshop shop;
  std::string rows;
  for (int i = 0; i < 10; ++i) rows += Row(i, i % 2 == 0 ? "a" : "b", i > 4 && i < 9 ? 20.0 : 1.0);
  shop.Write("in.ndjson", rows);
  const auto pipeline = [](const std::string& option) {
    return Watch(R"(  high:
    type: alert
    inputs: [in]
    when: v > 10
    key: [k]
    budget: 5/day
)" + option +
                 R"(  calm:
    type: inhibit
    inputs: [high, other]
    equal: [k]
  other:
    type: alert
    inputs: [in]
    when: v > 100
    key: [k]
  told: {type: notify, inputs: [calm], group_by: [k], group_wait: 1s, group_interval: 1s}
)" + OutOf("told"));
  };
  const auto run = [&](const std::string& text) {
    return RunProgram(shop, {"run", shop.Write("p.yaml", text), "--http", "off", "--state", shop.Path("state")});
  };
  const Finished first = run(pipeline(""));
  REQUIRE_MESSAGE(first.code == 0, first.err);
  const std::string grown = pipeline("    dedupe_key: \"{k}\"\n");
  const Finished fit = RunProgram(shop, {"validate", shop.Write("p.yaml", grown), "--against", shop.Path("state")});
  CHECK_MESSAGE(fit.code == 0, (fit.out + fit.err));
  CHECK_MESSAGE(Contains(fit.out, "migrated"), fit.out);
  for (int i = 10; i < 20; ++i) rows += Row(i, i % 2 == 0 ? "a" : "b", 1.0);
  shop.Write("in.ndjson", rows);
  const Finished second = run(grown);
  REQUIRE_MESSAGE(second.code == 0, second.err);
  const std::string out = shop.Read("out.ndjson");
  CHECK_MESSAGE(CountOf(out, "\"state\":\"firing\"") == 2, out);
  CHECK_MESSAGE(CountOf(out, "\"state\":\"resolved\"") == 2, out);
}

// An episode keeps the row that started it; with `no_data: fire`, the last one too.
TEST_CASE("Alerts_OnOtherColumns_EpisodesGoOnOrAreRefusedByName") {
  for (const std::string no_data : {"", "    no_data: fire\n    no_data_after: 1h\n"}) {
    CAPTURE(no_data);
    const Workshop shop;
    const auto pipeline = [&](const std::string& columns) {
      std::string text = WatchThatFollows("", R"(  high:
    type: alert
    inputs: [in]
    when: v > 10
    key: [k]
    resolved_message: "{k} was at {v:.0f}"
)" + no_data + OutOf("high"));
      const std::string known = "k: string, v: float64";
      return text.replace(text.find(known), known.size(), columns);
    };
    const auto run = [&](const std::string& columns) {
      return RunProgram(shop, {"run", shop.Write("p.yaml", pipeline(columns)), "--http", "off", "--state",
                               shop.Path("state"), "--limit", std::to_string(CountOf(shop.Read("in.ndjson"), "\n"))});
    };
    const auto fits = [&](const std::string& columns) {
      return RunProgram(shop, {"validate", shop.Write("p.yaml", pipeline(columns)), "--against", shop.Path("state")});
    };
    shop.Write("in.ndjson", Row(1, "a", 20) + Row(2, "b", 30) + Row(3, "a", 21));
    const Finished first = run("k: string, v: float64, x: int64");
    REQUIRE_MESSAGE(first.code == 0, first.err);
    REQUIRE(CountOf(shop.Read("out.ndjson"), "\n") == 2);
    const Finished other = fits("k: string, v: int64, x: int64");
    CHECK(other.code != 0);
    CHECK_MESSAGE(Contains(other.out + other.err, "high"), (other.out + other.err));
    const Finished refused = run("k: string, v: int64, x: int64");
    CHECK(refused.code != 0);
    CHECK_MESSAGE(Contains(refused.err, "`high`"), refused.err);
    // One column more, in front of the others, and one that nobody uses gone.
    const std::string grown = "y: string, k: string, v: float64";
    const Finished fit = fits(grown);
    CHECK_MESSAGE(fit.code == 0, (fit.out + fit.err));
    CHECK_MESSAGE(Contains(fit.out, "migrated"), fit.out);
    shop.Append("in.ndjson", Row(4, "a", 1) + Row(5, "c", 40));
    const Finished second = run(grown);
    REQUIRE_MESSAGE(second.code == 0, second.err);
    const std::string grown_out = shop.Read("out.ndjson");
    CHECK_MESSAGE(Contains(grown_out, "\"message\":\"a was at 20\",\"at\":\"2023-11-14T22:13:21Z\",\"y\":null"),
                  grown_out);
    CHECK(CountOf(grown_out, "\"state\":\"firing\"") == 2);  // the row of c waits for time to go on
    shop.Append("in.ndjson", Row(6, "b", 1) + Row(7, "c", 1) + Row(8, "d", 1));
    const Finished third = run("k: string, v: float64");
    REQUIRE_MESSAGE(third.code == 0, third.err);
    const std::string out = shop.Read("out.ndjson");
    CHECK_MESSAGE(Contains(out, "\"message\":\"b was at 30\""), out);
    CHECK_MESSAGE(Contains(out, "\"message\":\"c was at 40\""), out);
    CHECK(CountOf(out, "\"state\":\"firing\"") == 3);
    CHECK(CountOf(out, "\"state\":\"resolved\"") == 3);
  }
}

TEST_CASE("Validate_TwoFilesWithOneRule_AreRefusedTogetherAndGoodAlone") {
  const Workshop shop;
  const std::string a = shop.Write("a.yaml", kPipeline), b = shop.Write("b.yaml", kPipeline);
  CHECK(RunProgram(shop, {"validate", a}).code == 0);
  for (const char* verb : {"validate", "run"}) {
    const Finished both = RunProgram(shop, {verb, a, b});
    CHECK(both.code == 2);
    CHECK_MESSAGE(Contains(both.err, "b.yaml:14:3: error: the pipeline `watch` of "), both.err);
    CHECK_MESSAGE(Contains(both.err, "has a rule `high`, too"), both.err);
  }
  std::string other = kPipeline;
  other.replace(other.find("name: watch"), 11, "name: guard");
  CHECK(RunProgram(shop, {"validate", a, shop.Write("b.yaml", other)}).code == 0);
}

TEST_CASE("Alerts_NothingRuns_OrdersAreDoneInTheStateAndTheNextStartGoesByThem") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "a", 1) + Row(3, "b", 1));
  place.Start();
  REQUIRE(place.Told(2));
  const std::string id = FirstId(place.shop.Read("out.ndjson"));
  REQUIRE(place.Listed("over; as of checkpoint "));
  place.Kill();
  CHECK_MESSAGE(Contains(place.Alerts({"list", place.state}).out, "NOT RUNNING, as of its last checkpoint "),
                place.Alerts({"list", place.state}).out);
  for (int twice = 0; twice < 2; ++twice) {
    const Finished label = place.Alerts({"label", id, "noise", place.state});
    REQUIRE_MESSAGE(label.code == 0, label.err);
    CHECK_MESSAGE(Contains(label.out, "the next start goes by it"), label.out);
  }
  CHECK(Contains(place.Alerts({"show", id, place.state}).out, "times 1.7411 for this key, after 0 useful and 1 noise"));
  CHECK(place.Alerts({"label", "0123456789abcdef", "noise", place.state}).code == 2);
  CHECK(place.Alerts({"silence", "low", "--for", "1h", place.state}).code == 2);
  // Until second 60 of the stream, from its first row on.
  REQUIRE(place.Alerts({"silence", "high", "--until", "2023-11-14T22:14:20Z", place.state}).code == 0);
  place.shop.Append("in.ndjson", Row(10, "a", 17.3) + Row(11, "b", 12) + Row(12, "c", 12) + Row(13, "c", 1) +
                                     Row(70, "c", 1) + Row(71, "c", 1));
  place.Start();
  REQUIRE(place.Told(3));
  const std::string out = place.shop.Read("out.ndjson");
  CHECK_MESSAGE(CountOf(out, "\n") == 3, out);
  CHECK_MESSAGE(CountOf(out, "\"message\":\"b is at 12.0\"") == 1, out);
  CHECK(Contains(place.Alerts({"show", id, place.state}).out, "times 1.7411 for this key, after 0 useful and 1 noise"));
  place.Kill();
  REQUIRE(place.Alerts({"silence", "high", "--for", "87600h", place.state}).code == 0);
  CHECK(Contains(place.Alerts({"list", place.state}).out, "high is silenced until"));
  REQUIRE(place.Alerts({"silence", "high", "--end", place.state}).code == 0);
  CHECK_FALSE(Contains(place.Alerts({"list", place.state}).out, "high is silenced until"));
  place.shop.Append("in.ndjson", Row(80, "d", 12) + Row(81, "d", 12));
  place.Start();
  CHECK(place.Told(4));
}

TEST_CASE("Alerts_KilledBetweenObeyingAndTheCommit_NobodyWasToldThatItIsDone") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "a", 1) + Row(3, "b", 1));
  place.Start();
  REQUIRE(place.Told(2));
  const std::string id = FirstId(place.shop.Read("out.ndjson"));
  place.Kill();
  setenv("FRESHET_TEST_HOLD_COMMIT", "1", 1);
  place.Start({"--set", "settings.checkpoint.every=1h"});  // the only checkpoint is the one that the label asks for
  unsetenv("FRESHET_TEST_HOLD_COMMIT");
  Program label(place.shop, {"alerts", "label", id, "noise", place.state});
  REQUIRE(Eventually([&] { return Contains(place.program->err(), "is prepared and will not be committed"); }));
  CHECK(label.running());
  place.Kill();
  CHECK(label.Wait() == 3);
  CHECK_FALSE(Contains(label.out(), "done"));
  place.Start();
  CHECK_MESSAGE(
      Contains(place.Alerts({"show", id, place.state}).out, "times 1 for this key, after 0 useful and 0 noise"),
      place.Alerts({"show", id, place.state}).out);
  REQUIRE(place.Alerts({"label", id, "useful", place.state}).code == 0);
  CHECK(
      Contains(place.Alerts({"show", id, place.state}).out, "times 0.870551 for this key, after 1 useful and 0 noise"));
}
