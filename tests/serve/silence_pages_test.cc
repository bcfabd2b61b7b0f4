// The pages behind the links of an alert: who gets what answer, and what is never silenced.
#include "engine/serve/silence_pages.h"

#include <doctest/doctest.h>

#include "engine/base/signed_link.h"
#include "engine/base/units.h"
#include "engine/serve/http_server.h"
#include "tests/serve/http_get.h"

using namespace freshet;
using freshet::testing::HttpAsk;

namespace {

constexpr const char* kSecret = "a secret of some length";
constexpr const char* kId = "27dc2be818c6cd7e";
constexpr int64_t kNowUs = 1'700'000'000'000'000;

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string Between(const std::string& text, const std::string& before, const std::string& after) {
  const size_t from = text.find(before);
  if (from == std::string::npos) return "";
  const size_t at = from + before.size();
  return text.substr(at, text.find(after, at) - at);
}

/// Two pipelines, one of which made the link; the alert as it is known, and what was ordered.
struct Desk {
  LinkedAlert alert{"pipe", "slow", "edge=eu", "firing", "high", "2023-11-14T21:00:00Z", "late", "@ops", ""};
  bool known = true;
  Status answer;
  int64_t now_us = kNowUs;
  std::vector<std::string> orders = {};

  SilenceHooks Hooks() {
    SilenceHooks hooks;
    hooks.signers = [] {
      return std::vector<LinkSigner>{{"/other", "another secret of some length", Duration::Seconds(86400)},
                                     {"/state", kSecret, Duration::Seconds(86400)}};
    };
    hooks.find = [this](const std::string& directory, const std::string& id) -> Result<LinkedAlert> {
      CHECK(directory == "/state");
      if (!known || id != kId) return Status::NotFound("unknown");
      return alert;
    };
    hooks.order = [this](const std::string& directory, const std::string& id, const std::string& until) {
      orders.push_back(directory + " " + id + " " + until);
      if (answer.ok()) alert.silenced_until = until;
      return answer;
    };
    return hooks;
  }
  SilencePage Answer(const SilenceRequest& request) { return AnswerSilence(request, Hooks(), now_us); }
};

/// A link told an hour ago, good for a day.
SilenceRequest Link(const char* span, int64_t expires_s = kNowUs / 1000000 + 82800) {
  SilenceRequest request;
  request.alert_id = kId;
  request.span = span;
  for (const AlertLinkSpan& s : kAlertLinkSpans) {
    if (request.span != s.name) continue;
    const std::string link = SignedLink(kSecret, "", SilencePath(kId, s), expires_s);
    request.expires = Between(link, "expires=", "&");
    request.signature = link.substr(link.find("signature=") + 10);
  }
  return request;
}

/// What the form on a page sends.
SilenceRequest Press(SilenceRequest request, const SilencePage& page) {
  request.post = true;
  request.until = Between(page.html, "name=\"until\" value=\"", "\"");
  request.confirmed = Between(page.html, "name=\"confirmed\" value=\"", "\"");
  return request;
}

}  // namespace

TEST_CASE("SilencePages_OpenedThenPressed_SilencesOnce") {
  const std::pair<const char*, std::string> kSpans[] = {{"1h", FormatTime({kNowUs + 3'600'000'000})},
                                                        {"24h", FormatTime({kNowUs + 86'400'000'000})},
                                                        {"resolved", "resolved"}};
  for (const auto& [span, until] : kSpans) {
    CAPTURE(span);
    Desk desk;
    const SilencePage asked = desk.Answer(Link(span));
    CHECK(asked.status == 200);
    CHECK(Contains(asked.html, "<form method=\"post\">"));
    CHECK(Contains(asked.html, "edge=eu"));
    CHECK(Contains(asked.html, "@ops"));
    for (int look = 0; look < 5; ++look) (void)desk.Answer(Link(span));  // previews
    CHECK(desk.orders.empty());
    desk.now_us += 60'000'000;  // it takes a minute to press
    const SilenceRequest press = Press(Link(span), asked);
    CHECK(desk.Answer(press).status == 200);
    REQUIRE(desk.orders.size() == 1);
    CHECK(desk.orders[0] == "/state 27dc2be818c6cd7e " + until);
    // Pressed again, later: the same moment, so nothing is ordered.
    desk.now_us += 600'000'000;
    const SilencePage again = desk.Answer(press);
    CHECK(again.status == 200);
    CHECK(Contains(again.html, "Silenced already"));
    CHECK(desk.orders.size() == 1);
  }
}

TEST_CASE("SilencePages_TamperedOrExpired_SilenceNothing") {
  Desk desk;
  const SilencePage asked = desk.Answer(Link("1h"));
  const auto refused = [&](SilenceRequest request, int status) {
    CAPTURE(request.span);
    for (const bool post : {false, true}) {
      request.post = post;
      const SilencePage page = desk.Answer(request);
      CHECK(page.status == status);
      CHECK_FALSE(Contains(page.html, "<form"));
      CHECK_FALSE(Contains(page.html, "edge=eu"));  // nothing of the alert is shown either
    }
  };
  const SilenceRequest good = Press(Link("1h"), asked);
  SilenceRequest other = good;
  other.span = "24h";
  refused(other, 403);
  other = good;
  other.alert_id = "27dc2be818c6cd7f";
  refused(other, 403);
  other = good;
  other.expires = std::to_string(std::stoll(good.expires) + 1);
  refused(other, 403);
  other = good;
  other.signature[5] = other.signature[5] == 'a' ? 'b' : 'a';
  refused(other, 403);
  other = good;
  other.signature.clear();
  refused(other, 403);
  other = good;
  other.span = "forever";
  refused(other, 403);
  refused(Press(Link("1h", kNowUs / 1000000), asked), 410);
  other = Link("1h", kNowUs / 1000000);
  other.signature[0] = other.signature[0] == 'a' ? 'b' : 'a';
  refused(other, 403);  // nothing is said of time by a link that is none
  CHECK(desk.orders.empty());
}

TEST_CASE("SilencePages_FormChangedOrMissing_SilencesNothing") {
  Desk desk;
  const SilencePage asked = desk.Answer(Link("1h"));
  const SilenceRequest good = Press(Link("1h"), asked);
  const auto post = [&](const std::string& until, const std::string& confirmed) {
    SilenceRequest request = good;
    request.until = until;
    request.confirmed = confirmed;
    return desk.Answer(request).status;
  };
  CHECK(post("", "") == 400);  // a program that posts to every link
  CHECK(post("4000000000", good.confirmed) == 400);
  CHECK(post("resolved", good.confirmed) == 400);
  CHECK(post(good.until, good.signature) == 400);
  const SilenceRequest day = Press(Link("24h"), desk.Answer(Link("24h")));
  CHECK(post(day.until, day.confirmed) == 400);  // another link's form
  CHECK(desk.orders.empty());
  desk.now_us += 3'700'000'000;  // the hour that was asked for is over
  CHECK(desk.Answer(good).status == 410);
  CHECK(desk.orders.empty());
}

TEST_CASE("SilencePages_UnknownResolvedOrRefused_SaySo") {
  Desk desk;
  desk.known = false;
  CHECK(desk.Answer(Link("1h")).status == 404);
  // Told a minute ago, it may not be in a checkpoint yet; the engine knows, whatever the checkpoint says.
  const SilenceRequest young = Link("1h", kNowUs / 1000000 - 60 + 86400);
  const SilencePage asked = desk.Answer(young);
  CHECK(asked.status == 200);
  desk.answer = Status::NotFound("no alert");
  CHECK(desk.Answer(Press(young, asked)).status == 404);
  desk.answer = Status::Unavailable("the pipeline is not running: nothing was changed");
  const SilencePage refused = desk.Answer(Press(young, asked));
  CHECK(refused.status == 503);
  CHECK(Contains(refused.html, "the pipeline is not running"));

  Desk over;
  const SilencePage before = over.Answer(Link("resolved"));
  over.alert.state = "resolved";
  CHECK_FALSE(Contains(over.Answer(Link("resolved")).html, "<form"));
  CHECK(over.Answer(Press(Link("resolved"), before)).status == 409);
  CHECK(over.orders.empty());
  CHECK(Contains(over.Answer(Link("1h")).html, "<form"));  // its key may fire again

  Desk longer;
  const SilencePage hour = longer.Answer(Link("1h"));
  longer.alert.silenced_until = FormatTime({kNowUs + 86'400'000'000});
  CHECK(longer.Answer(Press(Link("1h"), hour)).status == 200);
  CHECK(longer.orders.empty());  // not shortened
}

TEST_CASE("SilencePages_NamesWithMarkup_AreText") {
  Desk desk;
  const std::string evil = "<script>alert('1')</script>\"&amp;";
  desk.alert = {evil, evil, "k=" + evil, "firing", "high", "", evil, evil, ""};
  const std::string html = desk.Answer(Link("1h")).html;
  CHECK_FALSE(Contains(html, "<script"));
  CHECK(Contains(html, "k=&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;amp;"));
  desk.answer = Status::Unavailable(evil);
  CHECK_FALSE(Contains(desk.Answer(Press(Link("1h"), desk.Answer(Link("1h")))).html, "<script"));
  SilenceRequest odd = Link("1h");
  odd.alert_id = evil;
  CHECK_FALSE(Contains(desk.Answer(odd).html, "<script"));
}

TEST_CASE("HttpServer_SilenceLink_NeedsNoTokenAndKeepsPagesToItself") {
  Desk desk;
  HttpServer::Options options;
  options.address.port = 0;
  options.token = "token";
  options.now_wall_us = [&] { return desk.now_us; };
  options.snapshot = [] { return std::vector<PipelineView>(); };
  options.silence = desk.Hooks();
  const auto server = HttpServer::Start(std::move(options));
  REQUIRE(server.ok());
  const std::string address = (*server)->address().ToString();
  const SilenceRequest link = Link("1h");
  const std::string path = "/silence/" + link.alert_id + "/1h?expires=" + link.expires + "&signature=" + link.signature;
  CHECK(Contains(HttpAsk("GET", address, "/healthz", ""), " 401 "));
  const std::string asked = HttpAsk("GET", address, path, "");
  CHECK(Contains(asked, "200 "));
  CHECK(Contains(asked, "Content-Type: text/html; charset=utf-8"));
  CHECK(Contains(asked, "Referrer-Policy: no-referrer"));
  CHECK(Contains(asked, "frame-ancestors 'none'"));
  CHECK(Contains(HttpAsk("HEAD", address, path, ""), "200 "));
  CHECK(Contains(HttpAsk("GET", address, path + "0", ""), " 403 "));
  CHECK(Contains(HttpAsk("POST", address, path, "Content-Length: 0\r\n"), " 400 "));
  CHECK(Contains(HttpAsk("PUT", address, path, "Content-Length: 0\r\n"), " 404 "));
  CHECK(desk.orders.empty());
  const SilenceRequest press = Press(link, {200, asked});
  const std::string form = "&until=" + press.until + "&confirmed=" + press.confirmed;
  CHECK(Contains(HttpAsk("GET", address, path + form, ""), "200 "));
  CHECK(desk.orders.empty());
  CHECK(
      Contains(HttpAsk("POST", address, path + form, "Content-Length: 0\r\n"), "Silenced until 2023-11-14T23:13:20Z"));
  CHECK(desk.orders.size() == 1);
}
