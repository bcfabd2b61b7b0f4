// The server's texts, and the server on a loopback port.
#include <doctest/doctest.h>

#include <cmath>
#include <mutex>

#include "engine/serve/http_connections.h"
#include "engine/serve/http_server.h"
#include "engine/serve/json_writer.h"
#include "engine/serve/metrics_text.h"
#include "tests/serve/http_get.h"

using namespace freshet;
using freshet::testing::HttpAsk;
using freshet::testing::HttpGet;
using freshet::testing::HttpPeer;

namespace {

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

PipelineView SomeView() {
  PipelineView view;
  view.name = "p";
  view.phase = PipelinePhase::kRunning;
  NodeReport node;
  node.id = "edits";
  node.type = "file";
  node.node_class = NodeClass::kSource;
  node.counters.in = 12;
  node.counters.out = 11;
  node.counters.dead = 1;
  node.watermark = EventTime{1700000000000000};
  view.report.nodes.push_back(node);
  view.edges.emplace_back("edits", "out");
  return view;
}

HttpServer::Options SomeOptions() {
  HttpServer::Options options;
  options.address.port = 0;
  options.now_wall_us = [] { return int64_t{1700000060000000}; };
  options.snapshot = [] { return std::vector<PipelineView>{SomeView()}; };
  return options;
}

}  // namespace

TEST_CASE("JsonWriter_OddValues_StayJson") {
  JsonWriter json;
  json.BeginObject().Field("a\"b", "x\n\x01").Key("n").BeginArray().Double(std::nan("")).Double(0.1).Int(-3).Bool(true);
  json.EndArray()
      .Field("bad",
             "a\xff"
             "b\xed\xa0\x80")
      .Key("e")
      .BeginObject()
      .EndObject()
      .EndObject();
  CHECK(json.text() ==
        "{\"a\\\"b\":\"x\\n\\u0001\",\"n\":[null,0.1,-3,true],\"bad\":\"a\xef\xbf\xbd"
        "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"e\":{}}");
}

TEST_CASE("HttpAddress_Texts_AreReadOrRefused") {
  CHECK(ParseHttpAddress("127.0.0.1:80")->ToString() == "127.0.0.1:80");
  CHECK(ParseHttpAddress(":80")->is_loopback());
  CHECK(ParseHttpAddress("9000")->port == 9000);
  CHECK(ParseHttpAddress("[::1]:0")->ToString() == "[::1]:0");
  CHECK_FALSE(ParseHttpAddress("0.0.0.0:1")->is_loopback());
  for (const char* bad : {"", "host", "host:", "1:2:3", "h:99999", "h:-1", "h:8o"}) {
    CAPTURE(std::string(bad));
    CHECK_FALSE(ParseHttpAddress(bad).ok());
  }
}

TEST_CASE("Metrics_OneSource_HaveNamesUnitsAndLabels") {
  const std::string text = RenderMetrics({SomeView()}, 1700000060000000);
  CHECK(Contains(text, "# TYPE freshet_rows_in_total counter"));
  CHECK(Contains(text, "freshet_rows_in_total{node=\"edits\",pipeline=\"p\"} 12\n"));
  CHECK(Contains(text, "freshet_rows_dead_total{node=\"edits\",pipeline=\"p\"} 1\n"));
  CHECK(Contains(text, "freshet_watermark_lag_seconds{node=\"edits\",pipeline=\"p\"} 60\n"));
  CHECK(Contains(text, "freshet_build_info{compiler="));
  CHECK_FALSE(Contains(text, "freshet_rows_late_total"));
}

TEST_CASE("HttpServer_Loopback_AnswersAndStops") {
  auto server = HttpServer::Start(SomeOptions());
  REQUIRE(server.ok());
  const std::string address = (*server)->address().ToString();
  CHECK(Contains(HttpGet(address, "/healthz"), "200 OK"));
  CHECK(Contains(HttpGet(address, "/readyz"), "ready"));
  CHECK(Contains(HttpGet(address, "/metrics"), "freshet_up{pipeline=\"p\"} 1"));
  const std::string pipeline = HttpGet(address, "/api/v1/pipeline");
  CHECK(Contains(pipeline, "\"rows\":{\"read\":12,\"emitted\":11,\"dead\":1,\"skipped\":0,\"waiting\":0}"));
  CHECK(Contains(pipeline, "{\"from\":\"edits\",\"to\":\"out\"}"));
  CHECK(Contains(HttpGet(address, "/nothing"), "404"));
  CHECK(Contains(HttpGet(address, "/metrics", "Host: evil.example\r\n"), "403"));
  (*server)->Stop();
  CHECK(HttpGet(address, "/healthz").empty());
}

TEST_CASE("HttpServer_FailedPipeline_IsNotReady") {
  HttpServer::Options options = SomeOptions();
  options.snapshot = [] {
    PipelineView view = SomeView();
    view.phase = PipelinePhase::kFailed;
    return std::vector<PipelineView>{view};
  };
  auto server = HttpServer::Start(options);
  REQUIRE(server.ok());
  CHECK(Contains(HttpGet((*server)->address().ToString(), "/readyz"), "503"));
}

TEST_CASE("HttpServer_PortTaken_FailsOrFallsBackAsAsked") {
  auto first = HttpServer::Start(SomeOptions());
  REQUIRE(first.ok());
  HttpServer::Options options = SomeOptions();
  options.address = (*first)->address();
  const auto refused = HttpServer::Start(options);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kUnavailable);
  options.fall_back = true;
  auto second = HttpServer::Start(options);
  REQUIRE(second.ok());
  CHECK((*second)->address().port != (*first)->address().port);
}

TEST_CASE("HttpServer_BeyondLoopback_NeedsAToken") {
  HttpServer::Options options = SomeOptions();
  options.address.host = "0.0.0.0";
  CHECK(HttpServer::Start(options).status().code() == StatusCode::kInvalidArgument);
  options.token = "s3cret";
  auto server = HttpServer::Start(options);
  REQUIRE(server.ok());
  const std::string address = "127.0.0.1:" + std::to_string((*server)->address().port);
  CHECK(Contains(HttpGet(address, "/metrics"), "401"));
  CHECK(Contains(HttpGet(address, "/metrics", "Authorization: Bearer s3cre\r\n"), "401"));
  CHECK(Contains(HttpGet(address, "/metrics", "Authorization: Bearer s3cret\r\n"), "200 OK"));
}

TEST_CASE("HttpServer_AlertOrders_NeedTheirHeaderAndTellWhatBecameOfThem") {
  HttpServer::Options options = SomeOptions();
  std::mutex mutex;  // the server's threads write the orders down
  std::vector<AlertOrder> written;
  const auto orders = [&] {
    const std::lock_guard lock(mutex);
    return written;
  };
  options.alerts = [](const std::string& id) -> Result<std::string> {
    if (id == "0000000000000000") return Status::NotFound("no such alert");
    return "{\"pipelines\":[],\"asked\":\"" + id + "\"}";
  };
  options.alert_order = [&](const AlertOrder& order) -> Result<AlertOrderOutcome> {
    {
      const std::lock_guard lock(mutex);
      written.push_back(order);
    }
    if (order.alert == "gone") return Status::NotFound("no such alert");
    if (order.alert == "odd") return Status::InvalidArgument("what?");
    if (order.alert == "late") return Status::Unavailable("the run ended");
    if (order.alert == "slow") return AlertOrderOutcome{false, "it is not certain"};
    return AlertOrderOutcome{true, "a note"};
  };
  const auto server = HttpServer::Start(std::move(options));
  REQUIRE(server.ok());
  const std::string address = (*server)->address().ToString();
  const auto post = [&](const std::string& path, const std::string& head) {
    return freshet::testing::HttpAsk("POST", address, path, "Content-Length: 0\r\n" + head);
  };
  CHECK(Contains(HttpGet(address, "/api/v1/alerts"), "{\"pipelines\":[],\"asked\":\"\"}"));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/0123456789abcdef"), "\"asked\":\"0123456789abcdef\""));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/0000000000000000"), " 404 "));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/0123456789ABCDEF"), " 404 "));
  CHECK(Contains(post("/api/v1/alerts/label", "X-Freshet-Alert: ab\r\nX-Freshet-Label: noise\r\n"),
                 "{\"durable\":true,\"note\":\"a note\"}"));
  REQUIRE(orders().size() == 1);
  CHECK(orders()[0].action == "label");
  CHECK(orders()[0].alert == "ab");
  CHECK(orders()[0].label == "noise");
  // A page of another origin can send this much, and no more.
  CHECK(Contains(post("/api/v1/alerts/silence", ""), " 400 "));
  CHECK(Contains(post("/api/v1/alerts/burn", "X-Freshet-Alert: ab\r\n"), " 404 "));
  CHECK(Contains(post("/api/v1/alerts", "X-Freshet-Alert: ab\r\n"), " 405 "));
  CHECK(Contains(post("/api/v1/alerts/ack", "X-Freshet-Alert: ab\r\nHost: evil.example\r\n"), " 403 "));
  CHECK(Contains(HttpGet(address, "/api/v1/alerts/ack", "X-Freshet-Alert: ab\r\n"), " 404 "));
  CHECK(orders().size() == 1);
  CHECK(Contains(post("/api/v1/alerts/ack", "X-Freshet-Alert: gone\r\n"), " 404 "));
  CHECK(Contains(post("/api/v1/alerts/ack", "X-Freshet-Alert: odd\r\n"), " 400 "));
  const std::string late = post("/api/v1/alerts/ack", "X-Freshet-Alert: late\r\n");
  CHECK(Contains(late, " 409 "));
  CHECK(Contains(late, "the run ended"));
  const std::string slow = post("/api/v1/alerts/ack", "X-Freshet-Alert: slow\r\n");
  CHECK(Contains(slow, " 504 "));
  CHECK(Contains(slow, "it is not certain"));
  const auto without = HttpServer::Start(SomeOptions());
  REQUIRE(without.ok());
  CHECK(Contains(freshet::testing::HttpAsk("POST", (*without)->address().ToString(), "/api/v1/alerts/ack",
                                           "Content-Length: 0\r\nX-Freshet-Alert: ab\r\n"),
                 " 405 "));
}

TEST_CASE("WholeRequestBytes_HeadsAndBodies_EndWhereTheyShould") {
  const auto whole = [](const std::string& text) { return WholeRequestBytes(text, 4096); };
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t n = 0; n < get.size(); ++n) CHECK(whole(get.substr(0, n)) == 0);
  CHECK(whole(get) == get.size());
  CHECK(whole(get + "GET /") == get.size());
  const auto post = [](const std::string& more) { return "POST / HTTP/1.1\r\n" + more + "\r\n"; };
  const auto body = [&](const std::string& more) { return whole(post(more)) - post(more).size(); };
  CHECK(body("Content-Length: 12\r\n") == 12);
  CHECK(body("A: b\r\ncontent-LENGTH:\t4096 \r\nContent-Length: 7\r\n") == 4096);
  for (const char* none : {"", "Content-Length: 4097\r\n", "Content-Length: -1\r\n", "Content-Length: 12x\r\n",
                           "Content-Length:\r\n", "Content-Length: 99999999999999999999\r\n", "X-Content-Length: 5\r\n",
                           "Content-Length: 12\r\nExpect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n",
                           "Content-Encoding: gzip\r\nContent-Length: 12\r\n"}) {
    CAPTURE(std::string(none));
    CHECK(body(none) == 0);
  }
}

TEST_CASE("HttpServer_PeersThatSendByteByByteOrNothing_HoldUpNobody") {
  auto started = HttpServer::Start(SomeOptions());
  REQUIRE(started.ok());
  const std::string address = (*started)->address().ToString();
  const std::string request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<HttpPeer> slow(20);
  for (size_t i = 0; i < slow.size(); ++i) {
    REQUIRE(slow[i].Connect(address));
    REQUIRE(slow[i].Send(request.substr(0, i)));
  }
  for (const char* path : {"/healthz", "/metrics"}) CHECK(Contains(HttpGet(address, path), " 200 "));
  // All of them are still there.
  for (size_t i = 0; i < slow.size(); ++i) {
    for (size_t n = i; n < request.size(); ++n) REQUIRE(slow[i].Send(request.substr(n, 1)));
    CHECK(Contains(slow[i].Rest(), " 200 "));
  }
  // One that stays when the server stops does not hold that up either.
  REQUIRE(slow[0].Connect(address));
  REQUIRE(slow[0].Send("G"));
  (*started)->Stop();
  CHECK(slow[0].Rest().empty());
}

TEST_CASE("HttpServer_PeersThatDoNotRead_HoldUpNobody") {
  HttpServer::Options options = SomeOptions();
  options.alerts = [](const std::string&) { return Result<std::string>(std::string(size_t{6} << 20, 'x')); };
  auto started = HttpServer::Start(std::move(options));
  REQUIRE(started.ok());
  const std::string address = (*started)->address().ToString();
  std::vector<HttpPeer> slow(8);
  for (HttpPeer& peer : slow) {
    REQUIRE(peer.Connect(address, 4096));
    REQUIRE(peer.Send("GET /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    std::string first;  // its answer is there
    REQUIRE(peer.Some(&first));
    CHECK(Contains(first, " 200 "));
  }
  for (const char* path : {"/healthz", "/metrics"}) CHECK(Contains(HttpGet(address, path), " 200 "));
  for (HttpPeer& peer : slow) CHECK(peer.Rest().size() > (size_t{6} << 20) - 4096);
}

TEST_CASE("HttpServer_MorePeersThanItHolds_TheFirstThatSentNoRequestGoes") {
  auto started = HttpServer::Start(SomeOptions());
  REQUIRE(started.ok());
  const std::string address = (*started)->address().ToString();
  std::vector<HttpPeer> slow(HttpConnections::kPeersMax + 2);
  for (HttpPeer& peer : slow) {
    REQUIRE(peer.Connect(address));
    REQUIRE(peer.Send("GET /healthz HTTP/1.1\r\n"));
  }
  CHECK(slow[0].Rest().empty());
  CHECK(slow[1].Rest().empty());
  CHECK(Contains(HttpGet(address, "/healthz"), " 200 "));  // in the place of the next one
  CHECK(slow[2].Rest().empty());
  for (size_t i = 3; i < slow.size(); ++i) {
    REQUIRE(slow[i].Send("Host: localhost\r\n\r\n"));
    CHECK(Contains(slow[i].Rest(), " 200 "));
  }
}

TEST_CASE("HttpServer_OddRequests_AreRefusedAndNobodyIsWaitedFor") {
  HttpServer::Options options = SomeOptions();
  options.alert_order = [](const AlertOrder&) -> Result<AlertOrderOutcome> { return AlertOrderOutcome(); };
  auto started = HttpServer::Start(std::move(options));
  REQUIRE(started.ok());
  const std::string address = (*started)->address().ToString();
  const auto post = [&](const std::string& more) {
    return HttpAsk("POST", address, "/api/v1/alerts/ack", "X-Freshet-Alert: a\r\n" + more);
  };
  CHECK(Contains(post("Content-Length: 2\r\n\r\nab"), " 200 "));
  CHECK(Contains(post("Content-Length: 2\r\nExpect: 100-continue\r\n"), " 417 "));
  CHECK(Contains(post("Content-Length: 5000\r\n"), " 413 "));
  CHECK(Contains(post("Transfer-Encoding: chunked\r\n"), " 411 "));
  CHECK(Contains(HttpGet(address, "/healthz", "A: " + std::string(6000, 'a') + "\r\n"), " 200 "));
  const size_t whole = HttpGet(address, "/api/v1/pipeline").size();
  const std::string ranges = HttpGet(address, "/api/v1/pipeline", "Range: bytes=0-,0-,0-,0-,0-\r\n");
  CHECK(Contains(ranges, " 200 "));
  CHECK(ranges.size() < 2 * whole);
  HttpPeer endless;
  REQUIRE(endless.Connect(address));
  REQUIRE(endless.Send("GET /healthz HTTP/1.1\r\nA: " + std::string(HttpConnections::kRequestBytesMax, 'a')));
  CHECK(Contains(endless.Rest(), " 431 "));
  HttpPeer gone;
  REQUIRE(gone.Connect(address));
  REQUIRE(gone.Send("GET /healthz HTTP/1.1\r\n"));
  gone.Close();
  CHECK(Contains(HttpGet(address, "/healthz"), " 200 "));
}
