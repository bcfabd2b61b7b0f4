// Links in the rows of alerts, on the built program: looked at they change nothing, confirmed they silence for good.
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>

#include "tests/cli/watch.h"

using namespace freshet::testing;

namespace {

/// The rows are of 2023, and the links last.
const std::string kPipeline = WatchThatFollows(R"(  alert_links:
    url: https://alerts.example.org
    secret: {secret: env:FRESHET_LINK_SECRET}
    valid_for: 87600h
)",
                                               R"(  high:
    type: alert
    inputs: [in]
    value: v
    threshold: 10
    key: [k]
    owner: "@ops & <co>"
    next: "look at {k}"
)" + OutOf("high"));

std::string Between(const std::string& text, const std::string& before, const std::string& after) {
  const size_t from = text.find(before);
  if (from == std::string::npos) return "";
  const size_t at = from + before.size();
  return text.substr(at, text.find(after, at) - at);
}

struct Place : WatchPlace {
  Place() : WatchPlace(kPipeline) { setenv("FRESHET_LINK_SECRET", "a secret for tests only", 1); }
  ~Place() { unsetenv("FRESHET_LINK_SECRET"); }
  std::string Shown(const std::string& id) const {
    return Between(HttpGet(address, "/api/v1/alerts/" + id), "\r\n\r\n", "\r\n\r\n");
  }
  /// Until when its key is silenced, as JSON.
  std::string Silenced(const std::string& id) const {
    return Between(Shown(id), "\"label\":null,\"silenced_until\":", ",\"threshold_factor\"");
  }
  /// The path of a link in the first row of the output that says this.
  std::string Link(const char* column, const std::string& row_with) const {
    const std::string out = shop.Read("out.ndjson");
    const size_t at = out.find(row_with);
    REQUIRE_MESSAGE(at != std::string::npos, out);
    const size_t begin = out.rfind('\n', at) + 1;
    const std::string row = out.substr(begin, out.find('\n', at) - begin);
    return Between(row, "\"" + std::string(column) + "\":\"https://alerts.example.org", "\"");
  }
  /// Sends the form of a page, as a browser does that came by the proxy's name.
  std::string Press(const std::string& link, const std::string& page) const {
    const std::string body = "until=" + Between(page, "name=\"until\" value=\"", "\"") +
                             "&asked=" + Between(page, "name=\"asked\" value=\"", "\"") +
                             "&confirmed=" + Between(page, "name=\"confirmed\" value=\"", "\"");
    return HttpAsk("POST", address, link,
                   "Host: alerts.example.org\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  }
};

}  // namespace

TEST_CASE("AlertLinks_PreviewedThenPressed_SilenceIsDurableAndNotExtended") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "b", 12) + Row(3, "c", 1));
  place.Start();
  REQUIRE(Eventually([&] { return Contains(place.shop.Read("out.ndjson"), "\"k\":\"b\""); }));
  const std::string day = place.Link("silence_24h", "\"k\":\"a\"");
  const std::string id = day.substr(9, 16);
  REQUIRE_MESSAGE(Contains(day, "/silence/" + id + "/24h?expires="), day);
  REQUIRE(Eventually([&] { return Contains(place.Shown(id), "\"alert_id\":\"" + id); }));
  CHECK(Contains(place.Shown(id), "\"next_step\":\"look at a\""));
  CHECK(Contains(place.Shown(id), "\"owner\":\"@ops & <co>\""));
  CHECK(Contains(place.Shown(id), "\"confidence\":\"no probability, a fixed rule: |v| >= 10"));
  CHECK(Contains(place.Shown(id), "\"severity_reason\":\"nobody says one: medium unless told otherwise\""));

  std::string page;
  for (int look = 0; look < 3; ++look) page = HttpGet(place.address, day, "Host: alerts.example.org\r\n");
  CHECK_MESSAGE(Contains(page, " 200 "), page);
  CHECK(Contains(page, "@ops &amp; &lt;co&gt;"));
  CHECK(Contains(HttpAsk("HEAD", place.address, day, ""), " 200 "));
  CHECK(place.Silenced(id) == "null");
  std::string tampered = day;
  tampered.back() = tampered.back() == '0' ? '1' : '0';
  CHECK(Contains(HttpGet(place.address, tampered), " 403 "));
  CHECK(Contains(place.Press(tampered, page), " 403 "));
  CHECK(place.Silenced(id) == "null");

  const std::string done = place.Press(day, page);
  CHECK_MESSAGE(Contains(done, " 200 "), done);
  const std::string until = place.Silenced(id);
  CHECK_MESSAGE(Contains(done, "Silenced until " + Between(until, "\"", "\"")), done);
  REQUIRE(until.size() > 20);
  CHECK(Contains(place.Press(day, page), "Silenced already"));  // replayed
  CHECK(place.Silenced(id) == until);

  place.Kill();
  place.Start();
  CHECK(place.Silenced(id) == until);
  // The key that is silenced says nothing more, but that what was told is over; the other goes on.
  place.shop.Append("in.ndjson",
                    Row(10, "a", 1) + Row(11, "b", 1) + Row(12, "a", 20) + Row(13, "b", 20) + Row(14, "c", 1));
  REQUIRE(Eventually([&] { return Contains(place.shop.Read("out.ndjson"), "\"v\":20"); }));
  CHECK_FALSE(
      Contains(place.shop.Read("out.ndjson"),
               "\"k\":\"a\",\"state\":\"firing\",\"severity\":\"medium\",\"started_at\":\"2023-11-14T22:13:32"));

  // Until it is resolved: the newer alert of b.
  const std::string while_on =
      place.Link("silence_until_resolved",
                 "\"k\":\"b\",\"state\":\"firing\",\"severity\":\"medium\",\"started_at\":\"2023-11-14T22:13:33");
  const std::string second = while_on.substr(9, 16);
  REQUIRE(Eventually([&] { return Contains(place.Shown(second), "\"alert_id\":\"" + second); }));
  CHECK(Contains(place.Press(while_on, HttpGet(place.address, while_on)), "Silenced until it is resolved"));
  CHECK(place.Silenced(second) == "\"resolved\"");
  place.shop.Append("in.ndjson", Row(20, "b", 1) + Row(21, "c", 1));
  REQUIRE(Eventually([&] { return place.Silenced(second) == "null"; }));
  CHECK(Contains(HttpGet(place.address, while_on), "It is resolved already"));
}

// Who kept a page, or a copy of what it sent, cannot bring back what was ended: not now, and not after a restart.
TEST_CASE("AlertLinks_FormPostedAgainAfterItsSilenceWasEndedAndARestart_SilencesNothing") {
  for (const bool ended_while_down : {false, true}) {
    CAPTURE(ended_while_down);
    Place place;
    place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "c", 1));
    place.Start();
    REQUIRE(Eventually([&] { return Contains(place.shop.Read("out.ndjson"), "\"k\":\"a\""); }));
    const std::string day = place.Link("silence_24h", "\"k\":\"a\"");
    const std::string id = day.substr(9, 16);
    REQUIRE(Eventually([&] { return Contains(place.Shown(id), "\"alert_id\":\"" + id); }));
    const std::string page = HttpGet(place.address, day);
    REQUIRE(Contains(place.Press(day, page), "Silenced until"));
    if (ended_while_down) place.Kill();
    const Finished end = RunProgram(place.shop, {"alerts", "silence", id, "--end", place.state});
    REQUIRE_MESSAGE(end.code == 0, (end.out + end.err));
    if (!ended_while_down) {
      CHECK(Contains(place.Press(day, page), " 409 "));
      place.Kill();
    }
    place.Start();
    CHECK(place.Silenced(id) == "null");
    const std::string again = place.Press(day, page);
    CHECK_MESSAGE(Contains(again, " 409 "), again);
    CHECK(Contains(again, "open the link again"));
    CHECK(place.Silenced(id) == "null");
    CHECK(Contains(place.Press(day, HttpGet(place.address, day)), "Silenced until"));
    CHECK(place.Silenced(id) != "null");
  }
}

TEST_CASE("AlertLinks_SecretOfTwoPipelines_EachFindsItsAlertAndSaysWhenNothingRuns") {
  Place place;
  place.shop.Append("in.ndjson", Row(1, "a", 12) + Row(2, "c", 1));
  std::string text = kPipeline;
  const auto replace = [&](const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
  };
  replace("name: watch", "name: done");
  replace("follow: true", "follow: false");
  replace("path: out.ndjson", "path: done.ndjson");
  // Both orders: the one that is over comes first, then last.
  const std::string done = place.shop.Write("done.yaml", text);
  for (const bool done_first : {true, false}) {
    CAPTURE(done_first);
    const std::string state = done_first ? "first" : "last";
    Program program(place.shop, {"run", done_first ? done : place.file, done_first ? place.file : done, "--fresh",
                                 "--state", place.shop.Path(state), "--http", "127.0.0.1:0"});
    REQUIRE_MESSAGE(Eventually([&] {
                      place.address = place.shop.Read(state + "/watch/http.addr");
                      if (!place.address.empty()) place.address.pop_back();
                      return Contains(HttpGet(place.address, "/api/v1/pipeline"), "\"phase\":\"finished\"");
                    }),
                    program.err());
    REQUIRE(Eventually([&] { return Contains(place.shop.Read("out.ndjson"), "\"k\":\"a\""); }));
    const std::string link = place.Link("silence_1h", "\"k\":\"a\"");
    const std::string id = link.substr(9, 16);
    REQUIRE(Eventually([&] { return Contains(place.Shown(id), "\"alert_id\":\"" + id); }));
    const std::string page = HttpGet(place.address, link);
    CHECK_MESSAGE(Contains(page, "Silence this alert for 1h?"), page);
    CHECK(Contains(place.Press(link, page), "Silenced until"));
    const std::string finished = place.shop.Read("done.ndjson");
    const std::string over =
        HttpGet(place.address, Between(finished, "\"silence_1h\":\"https://alerts.example.org", "\""));
    CHECK_MESSAGE(Contains(over, " 503 "), over);
    CHECK_MESSAGE(Contains(over, "nothing runs on the state of done"), over);
    program.Signal(SIGKILL);
    program.Wait();
  }
}

TEST_CASE("AlertLinks_NoSecret_PlanSaysThatThereAreNone") {
  Place place;
  const Finished with = RunProgram(place.shop, {"plan", place.file});
  CHECK_MESSAGE(Contains(with.out, "silence links: under https://alerts.example.org, each for 3650d"),
                with.out << with.err);
  CHECK_FALSE(Contains(with.out, "a secret for tests only"));
  std::string text = kPipeline;
  const std::string secret = "    secret: {secret: env:FRESHET_LINK_SECRET}\n";
  text.erase(text.find(secret), secret.size());
  const std::string file = place.shop.Write("without.yaml", text);
  const Finished without = RunProgram(place.shop, {"plan", file});
  CHECK_MESSAGE(Contains(without.out, "silence links: none"), without.out << without.err);
  unsetenv("FRESHET_LINK_SECRET");
  const Finished missing = RunProgram(place.shop, {"run", place.file, "--http", "off"});
  CHECK(missing.code != 0);
  CHECK_MESSAGE(Contains(missing.err, "the variable `FRESHET_LINK_SECRET` of this secret is not set"), missing.err);
}
