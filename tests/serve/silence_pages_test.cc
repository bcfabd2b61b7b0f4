// The pages behind the links of an alert: who gets what answer, and what is never silenced.
#include "engine/serve/silence_pages.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

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
  LinkedAlert alert{"pipe", "slow", "edge=eu", "firing", "high", "2023-11-14T21:00:00Z", "late", "@ops", "", ""};
  bool known = true;
  bool certain = true;
  std::string other_secret = "another secret of some length";
  Status unknown = Status::NotFound("unknown");
  Status answer, other_answer = Status::NotFound("unknown");
  int64_t now_us = kNowUs;
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();  // the server's threads write the orders down
  std::vector<std::string> written = {};
  std::string note;
  int64_t asked_us = 0;        // of the last order
  int64_t forms_until_us = 0;  // as the alert knows it

  std::vector<std::string> orders() const {
    const std::lock_guard lock(*mutex);
    return written;
  }
  SilenceHooks Hooks() {
    SilenceHooks hooks;
    hooks.signers = [this] {
      return std::vector<LinkSigner>{{"/other", other_secret, Duration::Seconds(86400)},
                                     {"/state", kSecret, Duration::Seconds(86400)}};
    };
    hooks.find = [this](const std::string& directory, const std::string& id) -> Result<LinkedAlert> {
      if (other_secret != kSecret) CHECK(directory == "/state");
      if (directory == "/other") return other_answer;
      if (!known || id != kId) return unknown;
      return alert;
    };
    hooks.order = [this](const std::string& directory, const std::string& id, const std::string& until,
                         int64_t asked) -> Result<AlertOrderOutcome> {
      if (directory == "/other") return other_answer;
      const std::lock_guard lock(*mutex);
      asked_us = asked;
      if (asked <= forms_until_us) return AlertOrderOutcome{true, "open the link again"};
      written.push_back(directory + " " + id + " " + until);
      if (!answer.ok()) return answer;
      if (certain) alert.silenced_until = until;
      return AlertOrderOutcome{certain, certain ? note : "no checkpoint came in time"};
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
  request.asked = Between(page.html, "name=\"asked\" value=\"", "\"");
  request.confirmed = Between(page.html, "name=\"confirmed\" value=\"", "\"");
  return request;
}

/// `desk` must outlive the server.
HttpServer::Options ServerOptions(Desk& desk) {
  HttpServer::Options options;
  options.address.port = 0;
  options.token = "token";
  options.now_wall_us = [&desk] { return desk.now_us; };
  options.snapshot = [] { return std::vector<PipelineView>(); };
  options.silence = desk.Hooks();
  return options;
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
    CHECK(desk.orders().empty());
    desk.now_us += 60'000'000;  // it takes a minute to press
    const SilenceRequest press = Press(Link(span), asked);
    CHECK(desk.Answer(press).status == 200);
    REQUIRE(desk.orders().size() == 1);
    CHECK(desk.orders()[0] == "/state 27dc2be818c6cd7e " + until);
    // Pressed again, later: the same moment, so nothing is ordered.
    desk.now_us += 600'000'000;
    const SilencePage again = desk.Answer(press);
    CHECK(again.status == 200);
    CHECK(Contains(again.html, "Silenced already"));
    CHECK(desk.orders().size() == 1);
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
  CHECK(desk.orders().empty());
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
  SilenceRequest later = good;
  later.asked += "0";
  CHECK(desk.Answer(later).status == 400);
  CHECK(desk.orders().empty());
  desk.now_us += 3'700'000'000;  // the hour that was asked for is over
  CHECK(desk.Answer(good).status == 410);
  CHECK(desk.orders().empty());
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
  CHECK(over.orders().empty());
  CHECK(Contains(over.Answer(Link("1h")).html, "<form"));  // its key may fire again

  Desk longer;
  const SilencePage hour = longer.Answer(Link("1h"));
  longer.alert.silenced_until = FormatTime({kNowUs + 86'400'000'000});
  CHECK(longer.Answer(Press(Link("1h"), hour)).status == 200);
  CHECK(longer.orders().empty());  // not shortened
  longer.alert.silenced_until_time = longer.alert.silenced_until;
  longer.alert.silenced_until = "resolved";  // the day holds beside it
  CHECK(longer.Answer(Press(Link("1h"), hour)).status == 200);
  CHECK(Contains(longer.Answer(Link("1h")).html, "resolved, and 2023-11-15T22:13:20Z"));
  CHECK(longer.orders().empty());

  Desk late;  // resolved after the newest checkpoint
  late.note = "it is resolved already";
  const SilencePage told = late.Answer(Press(Link("resolved"), late.Answer(Link("resolved"))));
  CHECK(told.status == 409);
  CHECK(Contains(told.html, late.note));

  Desk away;
  away.known = false;
  away.unknown = Status::Unavailable("nothing runs on the state of pipe");
  const SilencePage unread = away.Answer(Link("1h"));
  CHECK(unread.status == 503);
  CHECK(Contains(unread.html, "nothing runs on the state of pipe"));
  CHECK_FALSE(Contains(unread.html, "longer than its rule remembers"));
}

TEST_CASE("SilencePages_FormSentAgainAfterItsSilenceWasEnded_IsUsedUp") {
  for (const char* span : {"1h", "resolved"}) {
    CAPTURE(std::string(span));
    Desk desk;
    const SilenceRequest press = Press(Link(span), desk.Answer(Link(span)));
    desk.answer = Status::Unavailable("not now");
    CHECK(desk.Answer(press).status == 503);
    desk.answer = Status::Ok();
    CHECK(desk.Answer(press).status == 200);  // what was refused is not used up
    CHECK(desk.orders().size() == 2);
    CHECK(desk.asked_us == kNowUs);
    desk.alert.silenced_until.clear();  // `freshet alerts silence --end`
    desk.forms_until_us = ++desk.now_us;
    desk.now_us += 1;
    const SilencePage again = desk.Answer(press);
    CHECK(again.status == 409);
    CHECK(Contains(again.html, "open the link again"));
    CHECK(desk.orders().size() == 2);
    CHECK(desk.Answer(Press(Link(span), desk.Answer(Link(span)))).status == 200);
    CHECK(desk.orders().size() == 3);
  }
}

TEST_CASE("SilencePages_NamesWithMarkup_AreText") {
  Desk desk;
  const std::string evil = "<script>alert('1')</script>\"&amp;";
  desk.alert = {evil, evil, "k=" + evil, "firing", "high", "", evil, evil, "", ""};
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
  const auto server = HttpServer::Start(ServerOptions(desk));
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
  CHECK(Contains(HttpAsk("PUT", address, path, "Content-Length: 0\r\n"), " 405 "));
  CHECK(desk.orders().empty());
  const SilenceRequest press = Press(link, {200, asked});
  const std::string form = "&until=" + press.until + "&asked=" + press.asked + "&confirmed=" + press.confirmed;
  CHECK(Contains(HttpAsk("GET", address, path + form, ""), "200 "));
  CHECK(desk.orders().empty());
  CHECK(
      Contains(HttpAsk("POST", address, path + form, "Content-Length: 0\r\n"), "Silenced until 2023-11-14T23:13:20Z"));
  CHECK(desk.orders().size() == 1);
}

TEST_CASE("SilencePages_SecretOfTwoPipelines_FindsTheOneThatHasTheAlert") {
  for (const char* other : {"does not know it", "cannot be asked"}) {
    CAPTURE(std::string(other));
    Desk desk;
    desk.other_secret = kSecret;
    if (other[0] == 'c') desk.other_answer = Status::Unavailable("it is over");
    const SilencePage asked = desk.Answer(Link("1h"));
    CHECK(Contains(asked.html, "edge=eu"));
    CHECK(desk.Answer(Press(Link("1h"), asked)).status == 200);
    REQUIRE(desk.orders().size() == 1);
    CHECK(desk.orders()[0].starts_with("/state "));
    // So new that no checkpoint has it: each is asked to silence it.
    Desk fresh;
    fresh.other_secret = kSecret;
    fresh.other_answer = desk.other_answer;
    fresh.known = false;
    const SilenceRequest young = Link("1h", kNowUs / 1000000 - 60 + 86400);
    CHECK(fresh.Answer(Press(young, fresh.Answer(young))).status == 200);
    CHECK(fresh.orders().size() == 1);
    // An old one that nobody knows: only if all can be asked is it known to be over.
    CHECK(fresh.Answer(Link("1h")).status == (other[0] == 'c' ? 503 : 404));
  }
}

TEST_CASE("SilencePages_NoCheckpointInTime_SayThatItIsNotCertain") {
  Desk desk;
  desk.certain = false;
  const SilenceRequest press = Press(Link("1h"), desk.Answer(Link("1h")));
  const SilencePage page = desk.Answer(press);
  CHECK(page.status == 504);
  CHECK(Contains(page.html, "<h1>Not certain: open the link again</h1>"));
  CHECK(Contains(page.html, "no checkpoint came in time"));
  CHECK_FALSE(Contains(page.html, "Nothing was silenced"));
  desk.certain = true;
  CHECK(Contains(desk.Answer(press).html, "Silenced until"));  // the same moment, once more
}

TEST_CASE("HttpServer_BodiesOfNoOrGreatLength_AreNotRead") {
  Desk desk;
  HttpServer::Options options = ServerOptions(desk);
  options.alert_order = [](const AlertOrder&) { return AlertOrderOutcome{}; };
  std::atomic<bool> links{true};
  options.silence.signers = [&links, signers = options.silence.signers] {
    return links ? signers() : std::vector<LinkSigner>();
  };
  const auto server = HttpServer::Start(std::move(options));
  REQUIRE(server.ok());
  const std::string address = (*server)->address().ToString();
  // A head alone: who waits for the rest of the body does not answer before its time is up, and not with this.
  const std::string host = "Host: " + address + "\r\n";
  for (const std::string path :
       {"/silence/27dc2be818c6cd7e/1h", "/silence/", "/silence/x/../..", "/api/v1/alerts/ack"}) {
    CAPTURE(path);
    const std::string head = host + (path[1] == 'a' ? "Authorization: Bearer token\r\n" : "");
    const auto post = [&](const std::string& more) { return HttpAsk("POST", address, path, head + more); };
    CHECK(Contains(post("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), " 411 "));
    CHECK(Contains(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), " 411 "));
    CHECK(Contains(post(""), " 411 "));
    CHECK(Contains(post("Content-Length: 5000\r\n"), " 413 "));
    CHECK(Contains(post("Content-Length: 4097\r\n"), " 413 "));
    CHECK(Contains(post("Content-Length: 99999999999999999999\r\n"), " 413 "));
    CHECK(Contains(post("Content-Length: -1\r\n"), " 413 "));
    CHECK(Contains(post("Content-Length: 40\r\nContent-Encoding: gzip\r\n"), " 415 "));
    // What is left of a refused body is no request.
    const std::string smuggled =
        post("Content-Length: 5000\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token\r\n");
    CHECK_FALSE(Contains(smuggled, " 200 "));
  }
  for (const char* method : {"PUT", "DELETE", "PATCH", "OPTIONS"})
    CHECK(
        Contains(HttpAsk(method, address, "/silence/27dc2be818c6cd7e/1h", "Transfer-Encoding: chunked\r\n"), " 405 "));
  CHECK(Contains(HttpAsk("GET", address, "/silence/27dc2be818c6cd7e/1h", ""), " 403 "));
  links = false;
  CHECK(Contains(HttpAsk("GET", address, "/silence/27dc2be818c6cd7e/1h", ""), " 401 "));
}

TEST_CASE("HttpServer_WhileALinkWaitsForItsCheckpoint_HealthIsAnswered") {
  Desk desk;
  HttpServer::Options options;
  options.address.port = 0;
  options.now_wall_us = [&] { return desk.now_us; };
  options.snapshot = [] { return std::vector<PipelineView>(); };
  options.silence = desk.Hooks();
  std::promise<void> entered, goes_on;
  options.silence.order = [&](const std::string&, const std::string&, const std::string&, int64_t) {
    entered.set_value();
    goes_on.get_future().wait();
    return AlertOrderOutcome{};
  };
  const auto server = HttpServer::Start(std::move(options));
  REQUIRE(server.ok());
  const std::string address = (*server)->address().ToString();
  const SilenceRequest link = Link("1h");
  const std::string path = "/silence/" + link.alert_id + "/1h?expires=" + link.expires + "&signature=" + link.signature;
  const SilenceRequest press = Press(link, {200, HttpAsk("GET", address, path, "")});
  std::string done;
  std::thread presses([&] {
    done = HttpAsk("POST", address,
                   path + "&until=" + press.until + "&asked=" + press.asked + "&confirmed=" + press.confirmed,
                   "Content-Length: 0\r\n");
  });
  entered.get_future().wait();
  for (int n = 0; n < 4; ++n) {
    const std::string other = HttpAsk("GET", address, path, "");
    CHECK(Contains(other, " 503 "));
    CHECK(Contains(other, "Retry-After: "));
    CHECK(Contains(HttpAsk("GET", address, "/healthz", ""), " 200 "));
  }
  goes_on.set_value();
  presses.join();
  CHECK(Contains(done, "Silenced until"));
  CHECK(Contains(HttpAsk("GET", address, path, ""), " 200 "));
}
