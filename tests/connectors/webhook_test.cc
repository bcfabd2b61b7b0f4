#include "connectors/webhook/webhook.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include "tests/connectors/loopback_server.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {
using test::HttpAnswer;
using test::LoopbackServer;
using test::MakeBatch;
using test::MakeSchema;

const SchemaRef kSchema = MakeSchema({{"n", TypeId::kInt64}});
const SchemaRef kAlerts = MakeSchema({{"alert_id", TypeId::kString}, {"state", TypeId::kString}});

struct Hook {
  explicit Hook(WebhookOptions options) {
    ::setenv("no_proxy", "127.0.0.1", 1);
    options.seed = 5;
    options.sleep = [this](Duration d) { waits.push_back(d); };
    sink = MakeWebhookSink(std::move(options));
    SinkOpenContext ctx;
    ctx.env = Env::Posix();
    ctx.pipeline_name = "p";
    ctx.node_id = "hook";
    CHECK(sink->Open(ctx).ok());
  }
  std::vector<Duration> waits;
  std::unique_ptr<Sink> sink;
};

std::string Header(const std::string& request, const std::string& name) {
  const size_t at = request.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "(absent)";
  const size_t from = at + name.size() + 4;
  return request.substr(from, request.find("\r\n", from) - from);
}

std::string Body(const std::string& request) { return request.substr(request.find("\r\n\r\n") + 4); }

TEST_CASE("Webhook_Accepted_SendsEachRowOnceWithItsKey") {
  LoopbackServer server([](int) { return HttpAnswer(204); });
  REQUIRE(server.ok());
  Hook hook({.url = server.url("/a?token=s3cret"), .headers = {{"X-Team", "content"}}});
  REQUIRE(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}}), 10).ok());
  REQUIRE(hook.sink->Write(MakeBatch(kAlerts, {{std::string("1f"), std::string("firing")}}), 12).ok());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 3);
  CHECK(requests[0].rfind("POST /a?token=s3cret HTTP/1.1\r\n", 0) == 0);
  CHECK(Body(requests[0]) == "{\"n\":1}");
  CHECK(Body(requests[1]) == "{\"n\":2}");
  CHECK(Header(requests[0], "X-Team") == "content");
  CHECK(Header(requests[0], "Content-Type") == "application/json");
  CHECK(Header(requests[0], "Idempotency-Key").size() == 32);
  CHECK(Header(requests[0], "Idempotency-Key") != Header(requests[1], "Idempotency-Key"));
  CHECK(Header(requests[2], "Idempotency-Key") == "1f-firing");
  CHECK(hook.sink->Summary().find("sent 3 rows") == 0);
  CHECK(hook.sink->Summary().find("s3cret") == std::string::npos);
  // The same row after a restart, in another batch, has the same key.
  Hook again({.url = server.url()});
  REQUIRE(again.sink->Write(MakeBatch(kSchema, {{int64_t{2}}}), 11).ok());
  CHECK(Header(server.requests()[3], "Idempotency-Key") == Header(requests[1], "Idempotency-Key"));
}

TEST_CASE("Webhook_ServerErrors_RetriedWithTheSameKeyAndGrowingWaits") {
  LoopbackServer server([](int n) { return HttpAnswer(n < 5 ? (n % 2 ? 500 : 429) : 200); });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()});
  REQUIRE(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0).ok());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 6);
  for (const std::string& request : requests)
    CHECK(Header(request, "Idempotency-Key") == Header(requests[0], "Idempotency-Key"));
  REQUIRE(hook.waits.size() == 5);
  for (size_t i = 0; i < hook.waits.size(); ++i) CHECK(hook.waits[i].us < (500000 << i));
  CHECK(hook.sink->Summary().find("5 retries") != std::string::npos);
}

TEST_CASE("Webhook_RetryAfter_HonouredUpToItsCap") {
  LoopbackServer server([](int n) {
    return n == 0   ? HttpAnswer(429, "Retry-After: 7\r\n")
           : n == 1 ? HttpAnswer(503, "Retry-After: 99999\r\n")
                    : HttpAnswer(200);
  });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()});
  REQUIRE(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0).ok());
  REQUIRE(hook.waits.size() == 2);
  CHECK(hook.waits[0] >= Duration::Seconds(7));
  CHECK(hook.waits[0] <= Duration::Millis(7700));
  CHECK(hook.waits[1] >= Duration::Seconds(300));
  CHECK(hook.waits[1] <= Duration::Seconds(330));
}

TEST_CASE("Webhook_Rejected_DroppedAndCountedOrFails") {
  LoopbackServer server([](int n) {
    return HttpAnswer(n == 0 ? 404 : n == 1 ? 302 : 400, "Location: http://127.0.0.1:1/\r\n");
  });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()});
  REQUIRE(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}}), 0).ok());
  CHECK(hook.waits.empty());
  CHECK(hook.sink->Summary().find("2 rows dropped") != std::string::npos);
  Hook strict({.url = server.url("/x?key=s3cret"), .fail_when_rejected = true});
  const Status status = strict.sink->Write(MakeBatch(kSchema, {{int64_t{3}}}), 0);
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message().find("400") != std::string::npos);
  CHECK(status.message().find("s3cret") == std::string::npos);
}

TEST_CASE("Webhook_PeerNeverAnswers_TimesOutRetriesAndGivesUp") {
  LoopbackServer server([](int n) { return n < 2 ? std::string() : HttpAnswer(200); });
  REQUIRE(server.ok());
  Hook patient({.url = server.url(), .timeout = Duration::Millis(60)});
  REQUIRE(patient.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0).ok());
  CHECK(patient.waits.size() == 2);

  LoopbackServer silent([](int) { return std::string(); });
  REQUIRE(silent.ok());
  Hook hook({.url = silent.url("/x?key=s3cret"), .timeout = Duration::Millis(40), .retry_count_max = 2});
  const Status status = hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0);
  CHECK(status.code() == StatusCode::kUnavailable);
  CHECK(status.message().find("s3cret") == std::string::npos);
  CHECK(silent.requests().size() == 3);
  Hook dropping(
      {.url = silent.url(), .timeout = Duration::Millis(40), .retry_count_max = 0, .drop_when_exhausted = true});
  CHECK(dropping.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0).ok());
}

TEST_CASE("Webhook_Refused_IsUnavailable") {
  std::string url;
  {
    LoopbackServer gone([](int) { return HttpAnswer(200); });
    url = gone.url();
  }
  Hook hook({.url = url, .retry_count_max = 1});
  CHECK(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}}), 0).code() == StatusCode::kUnavailable);
  CHECK(hook.waits.size() == 1);
}

TEST_CASE("Webhook_Batch_SendsArrays") {
  LoopbackServer server([](int) { return HttpAnswer(200); });
  REQUIRE(server.ok());
  Hook hook({.url = server.url(), .batch_row_count_max = 2});
  REQUIRE(hook.sink->Write(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}, {int64_t{3}}}), 0).ok());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(Body(requests[0]) == "[{\"n\":1},{\"n\":2}]");
  CHECK(Body(requests[1]) == "[{\"n\":3}]");
}

TEST_CASE("HttpClient_HeaderWithALineBreak_Refused") {
  HttpClient client;
  HttpRequest request;
  request.url = "http://127.0.0.1:1/";
  request.headers = {{"X", "a\r\nInjected: b"}};
  CHECK(client.Send(request).status().code() == StatusCode::kInvalidArgument);
  request.headers.clear();
  request.url = "file:///etc/passwd";
  CHECK(client.Send(request).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("HttpOrigin_HidesEverythingSecret") {
  CHECK(HttpOrigin("https://user:pw@hooks.example.com:8443/T0/secret?k=v") == "https://hooks.example.com:8443");
  CHECK(HttpOrigin("nonsense") == "the url");
}

TEST_CASE("ParseRetryAfter_SecondsAndDates") {
  CHECK(ParseRetryAfter("120", 0)->us == 120000000);
  CHECK(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 20000000)->us == 40000000);
  CHECK(ParseRetryAfter("Thu, 01 Jan 1970 00:00:01 GMT", 20000000)->us == 0);
  CHECK(!ParseRetryAfter("soon", 0).has_value());
  CHECK(!ParseRetryAfter("", 0).has_value());
}

TEST_CASE("Backoff_Waits_AreJitteredBoundedAndReproducible") {
  const BackoffOptions options{.first = Duration::Millis(100), .longest = Duration::Seconds(2)};
  Backoff a(options, 3);
  Backoff b(options, 3);
  int64_t largest = 0;
  for (int i = 0; i < 200; ++i) {
    const Duration wait = a.Next();
    CHECK(wait == b.Next());
    CHECK(wait.us < std::min<int64_t>(2000000, int64_t{100000} << std::min(i, 20)));
    largest = std::max(largest, wait.us);
  }
  CHECK(largest > 1800000);
  a.Reset();
  CHECK(a.Next().us < 100000);
}

}  // namespace
}  // namespace freshet
