#include "connectors/webhook/webhook.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <thread>

#include "connectors/net/http_client.h"
#include "engine/base/fault_env.h"
#include "engine/flow/outbox_sink.h"
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

/// A webhook behind its outbox, on a clock of its own.
struct Hook {
  explicit Hook(WebhookOptions webhook, OutboxOptions outbox = {}) {
    ::setenv("no_proxy", "127.0.0.1", 1);
    env.FreezeClock(1700000000000000);
    outbox.seed = 5;
    outbox.eager_schemas = {kAlerts};
    webhook.arrays = outbox.parcel_row_count_max > 1;
    sink = std::make_unique<OutboxSink>(MakeWebhook(std::move(webhook)), outbox);
    SinkOpenContext ctx;
    ctx.env = &env;
    ctx.pipeline_name = "p";
    ctx.node_id = "hook";
    CHECK(sink->Open(ctx).ok());
  }
  /// Writes, commits and sends; the clock jumps over waits, `attempts` times at most.
  Status Send(const Batch& batch, int attempts = 100) {
    CHECK(sink->Write(batch, 0).ok());
    CHECK(sink->PrepareCommit({++epoch}).ok());
    CHECK(sink->Commit({epoch}).ok());
    while (sink->has_work()) {
      auto step = sink->DeliverStep();
      if (!step.ok()) return step.status();
      if (step->wait_us == 0) continue;
      waits.push_back({step->wait_us});
      if (static_cast<int>(waits.size()) >= attempts) break;
      env.AdvanceMicros(step->wait_us);
    }
    return Status::Ok();
  }
  FaultEnv env{Env::Posix()};
  std::vector<Duration> waits;
  std::unique_ptr<OutboxSink> sink;
  uint64_t epoch = 0;
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
  REQUIRE(hook.Send(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}})).ok());
  REQUIRE(hook.Send(MakeBatch(kAlerts, {{std::string("1f"), std::string("firing")}})).ok());
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
  REQUIRE(again.Send(MakeBatch(kSchema, {{int64_t{1}}})).ok());
  CHECK(Header(server.requests()[3], "Idempotency-Key") == Header(requests[0], "Idempotency-Key"));
}

TEST_CASE("Webhook_ServerErrors_RetriedWithTheSameKeyAndGrowingWaits") {
  LoopbackServer server([](int n) { return HttpAnswer(n < 5 ? (n % 2 ? 500 : 429) : 200); });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()});
  REQUIRE(hook.Send(MakeBatch(kSchema, {{int64_t{1}}})).ok());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 6);
  for (const std::string& request : requests) {
    CHECK(Header(request, "Idempotency-Key") == Header(requests[0], "Idempotency-Key"));
    CHECK(Body(request) == Body(requests[0]));
  }
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
  REQUIRE(hook.Send(MakeBatch(kSchema, {{int64_t{1}}})).ok());
  REQUIRE(hook.waits.size() == 2);
  CHECK(hook.waits[0] >= Duration::Seconds(7));
  CHECK(hook.waits[0] <= Duration::Millis(7700));
  CHECK(hook.waits[1] >= Duration::Seconds(300));
  CHECK(hook.waits[1] <= Duration::Seconds(330));
}

TEST_CASE("Webhook_Rejected_CountedOrFails") {
  LoopbackServer server([](int n) {
    return HttpAnswer(n == 0 ? 404 : n == 1 ? 302 : 400, "Location: http://127.0.0.1:1/\r\n");
  });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()});
  REQUIRE(hook.Send(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}})).ok());
  CHECK(hook.waits.empty());
  CHECK(hook.sink->counts().refused == 2);
  Hook strict({.url = server.url("/x?key=s3cret")}, {.fail_when_refused = true});
  const Status status = strict.Send(MakeBatch(kSchema, {{int64_t{3}}}));
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message().find("400") != std::string::npos);
  CHECK(status.message().find("s3cret") == std::string::npos);
}

TEST_CASE("Webhook_PeerNeverAnswers_TimesOutAndRetries") {
  LoopbackServer server([](int n) { return n < 2 ? std::string() : HttpAnswer(200); });
  REQUIRE(server.ok());
  Hook patient({.url = server.url(), .timeout = Duration::Millis(60)});
  REQUIRE(patient.Send(MakeBatch(kSchema, {{int64_t{1}}})).ok());
  CHECK(patient.waits.size() == 2);

  LoopbackServer silent([](int) { return std::string(); });
  REQUIRE(silent.ok());
  Hook hook({.url = silent.url("/x?key=s3cret"), .timeout = Duration::Millis(40)},
            {.retry_count_max = 2, .when_exhausted = OutboxOptions::WhenExhausted::kFail});
  const Status status = hook.Send(MakeBatch(kSchema, {{int64_t{1}}}));
  CHECK(status.code() == StatusCode::kUnavailable);
  CHECK(status.message().find("s3cret") == std::string::npos);
  CHECK(silent.requests().size() == 3);
}

TEST_CASE("Webhook_Refused_RowsWait") {
  std::string url;
  {
    LoopbackServer gone([](int) { return HttpAnswer(200); });
    url = gone.url();
  }
  Hook hook({.url = url});
  CHECK(hook.Send(MakeBatch(kSchema, {{int64_t{1}}}), 3).ok());
  CHECK(hook.waits.size() == 3);
  CHECK(hook.sink->counts().waiting == 1);
}

TEST_CASE("Webhook_Interrupted_ASilentPeerHoldsNobodyUp") {
  LoopbackServer silent([](int) { return std::string(); });
  REQUIRE(silent.ok());
  Hook hook({.url = silent.url(), .timeout = Duration::Seconds(600)});
  CHECK(hook.sink->Write(MakeBatch(kAlerts, {{std::string("1f"), std::string("firing")}}), 0).ok());
  // Ends when the test does: an attempt that went on would take ten minutes.
  std::thread attempt([&] { CHECK(hook.sink->DeliverStep().ok()); });
  while (silent.requests().empty()) std::this_thread::yield();
  hook.sink->Interrupt();
  attempt.join();
  CHECK(hook.sink->counts().waiting == 1);
}

TEST_CASE("Webhook_Batch_SendsArrays") {
  LoopbackServer server([](int) { return HttpAnswer(200); });
  REQUIRE(server.ok());
  Hook hook({.url = server.url()}, {.parcel_row_count_max = 2});
  REQUIRE(hook.Send(MakeBatch(kSchema, {{int64_t{1}}, {int64_t{2}}, {int64_t{3}}})).ok());
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
