#include "engine/serve/http_server.h"

#include <arpa/inet.h>
#include <httplib.h>

#include <atomic>

#include "engine/base/signed_link.h"
#include "engine/metrics/metrics.h"
#include "engine/serve/http_connections.h"
#include "engine/serve/metrics_text.h"

namespace freshet {
namespace {

/// What reads state or waits for a checkpoint takes its time; links come from outside and have a share of their own.
constexpr int kSlowMax = 2;
constexpr int kLinksMax = 1;
/// Beside those, requests are answered at once.
constexpr int kWorkerCount = kSlowMax + kLinksMax + 1;
constexpr size_t kBodyBytesMax = 4096;

/// One of `max` things under way, while it lives and if it holds.
class Turn {
 public:
  Turn(std::atomic<int>* count, int max) : count_(count), holds_(count->fetch_add(1) < max) {}
  ~Turn() { count_->fetch_sub(1); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool holds() const { return holds_; }

 private:
  std::atomic<int>* const count_;
  const bool holds_;
};

/// 0, or why a body is not even looked at: the library would read one of any length into memory, or unpack it.
int BodyRefusal(const httplib::Request& request) {
  if (request.has_header("Transfer-Encoding") || !request.has_header("Content-Length")) return 411;
  if (request.has_header("Content-Encoding")) return 415;
  const std::string length = request.get_header_value("Content-Length");
  const bool short_enough = !length.empty() && length.size() <= 4 &&
                            length.find_first_not_of("0123456789") == std::string::npos &&
                            std::stoul(length) <= kBodyBytesMax;
  return short_enough ? 0 : 413;
}

void SetSocketOptions(socket_t socket) {
  // The library's default, SO_REUSEPORT, would let two processes share a port and answer each other's requests.
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

/// A request that is all here, and room for its answer: the library waits for nobody.
class Exchange final : public httplib::Stream {
 public:
  explicit Exchange(const std::string& request) : request_(request) {}
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* into, size_t size) override {
    const size_t n = request_.copy(into, size, at_);
    at_ += n;
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char* bytes, size_t size) override {
    answer_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }
  std::string TakeAnswer() { return std::move(answer_); }

 private:
  const std::string& request_;
  size_t at_ = 0;
  std::string answer_;
};

/// The library's routes and formats, without its threads and sockets, but for the one it has bound.
class Routes final : public httplib::Server {
 public:
  std::string Answer(const std::string& request) {
    Exchange exchange(request);
    bool closed = false;
    // An answer is given whole: ranges, of which a request may name thousands, would multiply it.
    process_request(exchange, true, closed, [](httplib::Request& parsed) { parsed.ranges.clear(); });
    return exchange.TakeAnswer();
  }
  int TakeSocket() { return svr_sock_.exchange(INVALID_SOCKET); }
};

bool IsAddressOrLocalhost(const std::string& host_header) {
  std::string host = host_header;
  if (!host.empty() && host.front() == '[') {
    host = host.substr(1, host.find(']') - 1);
  } else if (const size_t colon = host.rfind(':'); colon != std::string::npos) {
    host.resize(colon);
  }
  in6_addr scratch{};
  return host == "localhost" || inet_pton(AF_INET, host.c_str(), &scratch) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &scratch) == 1;
}

}  // namespace

bool HttpAddress::is_loopback() const { return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0; }

std::string HttpAddress::ToString() const {
  const std::string shown = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return shown + ":" + std::to_string(port);
}

Result<HttpAddress> ParseHttpAddress(const std::string& text) {
  const auto bad = [&] {
    return Status::InvalidArgument("`" + text +
                                   "` is no address to listen on; write HOST:PORT, such as 127.0.0.1:9464, or `off`");
  };
  HttpAddress address;
  const size_t colon = text.rfind(':');
  std::string port = text;
  if (colon != std::string::npos) {
    port = text.substr(colon + 1);
    std::string host = text.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
      host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string::npos)
      return bad();
    if (!host.empty()) address.host = host;
  }
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos) return bad();
  address.port = std::stoi(port);
  if (address.port > 65535) return bad();
  return address;
}

class HttpServer::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)), address_(options_.address) {}
  ~Impl() { Stop(); }

  Status Start() {
    if (!address_.is_loopback() && options_.token.empty())
      return Status::InvalidArgument("listening on " + address_.ToString() +
                                     " would show this pipeline to the network; set a token in FRESHET_HTTP_TOKEN "
                                     "(clients send `Authorization: Bearer TOKEN`), or listen on 127.0.0.1");
    server_.set_socket_options(SetSocketOptions);
    server_.set_payload_max_length(kBodyBytesMax);
    AddRoutes();
    if (address_.port == 0 || !server_.bind_to_port(address_.host, address_.port)) {
      if (address_.port != 0 && !options_.fall_back)
        return Status::Unavailable("cannot listen on " + address_.ToString() +
                                   " (the port is taken or the address is not ours); give another with --http "
                                   "HOST:PORT, or --http off");
      address_.port = server_.bind_to_any_port(address_.host);
      if (address_.port <= 0) return Status::Unavailable("cannot listen on " + address_.host + "; try --http off");
    }
    FRESHET_ASSIGN_OR_RETURN(connections_,
                             HttpConnections::Start(server_.TakeSocket(), kWorkerCount, kBodyBytesMax,
                                                    [this](const std::string& r) { return server_.Answer(r); }));
    return Status::Ok();
  }

  void Stop() { connections_.reset(); }
  const HttpAddress& address() const { return address_; }

 private:
  using Request = httplib::Request;
  using Response = httplib::Response;

  static void Answer(Response& response, int status, std::string text, const char* type) {
    response.status = status;
    response.set_content(std::move(text), type);
  }
  static void Refuse(Response& response, int status, std::string_view why) {
    JsonWriter json;
    json.BeginObject().Field("error", why).EndObject();
    Answer(response, status, json.text() + "\n", "application/json");
  }

  void AddRoutes() {
    // Bodies are short, and here when the head is looked at: nobody is asked to go on and send one.
    server_.set_expect_100_continue_handler([](const Request&, Response& r) {
      Refuse(r, 417, "send the body with its head");
      return 0;  // neither of those that the library has an answer of its own for
    });
    server_.set_pre_routing_handler([this](const Request& request, Response& response) {
      const bool passed = MayPass(request, response);
      return passed ? httplib::Server::HandlerResponse::Unhandled : httplib::Server::HandlerResponse::Handled;
    });
    server_.Get("/healthz", [](const Request&, Response& r) { Answer(r, 200, "ok\n", "text/plain"); });
    server_.Get("/readyz", [this](const Request&, Response& r) { Ready(r); });
    server_.Get("/metrics", [this](const Request&, Response& r) {
      Answer(r, 200, RenderMetrics(options_.snapshot(), options_.now_wall_us()), kPrometheusContentType);
    });
    server_.Get("/api/v1/pipeline", [this](const Request&, Response& r) {
      JsonWriter json;
      json.BeginObject().Field("version", FRESHET_VERSION).Key("pipelines").BeginArray();
      for (const PipelineView& view : options_.snapshot()) WritePipelineJson(view, options_.now_wall_us(), json);
      json.EndArray().EndObject();
      Answer(r, 200, json.text() + "\n", "application/json");
    });
    if (options_.alerts) {
      server_.Get(kAlertsPath, [this](const Request&, Response& r) { Alerts("", r); });
      server_.Get(std::string(kAlertsPath) + "/([0-9a-f]{16})",
                  [this](const Request& request, Response& r) { Alerts(request.matches[1], r); });
    }
    for (const char* action : {"silence", "ack", "label"})
      server_.Post(std::string(kAlertsPath) + "/" + action,
                   [this, action](const Request& request, Response& r) { OrderAlert(action, request, r); });
    if (options_.silence.signers) {
      const std::string pattern = std::string(kSilencePath) + "/([0-9a-f]{16})/([0-9a-z]+)";
      server_.Get(pattern, [this](const Request& request, Response& r) { Silence(request, r); });
      server_.Post(pattern, [this](const Request& request, Response& r) { Silence(request, r); });
    }
    server_.Post(kSavepointPath, [this](const Request& request, Response& r) { Savepoint(request, r); });
    server_.set_error_handler([](const Request&, Response& r) {
      if (r.body.empty())
        Refuse(r, r.status, "there are /healthz, /readyz, /metrics, /api/v1/pipeline and /api/v1/alerts");
    });
  }

  /// Before a byte of the body is read. False: it is answered.
  bool MayPass(const Request& request, Response& response) {
    const bool post = request.method == "POST";
    const bool read = request.method == "GET" || request.method == "HEAD";
    const auto refuse = [&](int status, const char* why) {
      Refuse(response, status, why);
      return false;
    };
    const bool link = request.path.starts_with(std::string(kSilencePath) + "/") && options_.silence.signers &&
                      !options_.silence.signers().empty();
    if (link) {
      SetPageHeaders(response);
      if (!read && !post) return refuse(405, "only GET, HEAD and POST");
    } else {
      // Changes need a header that a web page of another origin cannot send without asking first.
      const bool change = post && ((request.path == kSavepointPath && options_.savepoint) ||
                                   (request.path.starts_with(std::string(kAlertsPath) + "/") && options_.alert_order));
      if (!read && !change) return refuse(405, "only GET and HEAD");
      if (!options_.token.empty() &&
          !EqualInConstantTime("Bearer " + options_.token, request.get_header_value("Authorization"))) {
        response.set_header("WWW-Authenticate", "Bearer");
        return refuse(401, "send `Authorization: Bearer TOKEN`");
      }
      if (options_.token.empty() && !IsAddressOrLocalhost(request.get_header_value("Host")))
        return refuse(403, "ask by address, or as localhost");
      response.set_header("Cache-Control", "no-store");
      response.set_header("X-Content-Type-Options", "nosniff");
    }
    const int refusal = post ? BodyRefusal(request) : 0;
    return refusal == 0 || refuse(refusal, "send a plain body with its Content-Length, of at most 4096 bytes");
  }

  static void RefuseBusy(Response& response) {
    response.set_header("Retry-After", "5");
    Refuse(response, 503, "others are being answered: ask again in a few seconds");
  }

  /// A page may be shown, and its form sent here; nothing else. Nobody learns the link from where people go next.
  static void SetPageHeaders(Response& response) {
    response.set_header("Cache-Control", "no-store");
    response.set_header("Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
                        "base-uri 'none'");
    response.set_header("Referrer-Policy", "no-referrer");
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("X-Frame-Options", "DENY");
  }

  void Silence(const Request& request, Response& response) {
    const Turn turn(&links_, kLinksMax);
    if (!turn.holds()) return RefuseBusy(response);
    const auto value = [&](const char* name) { return request.get_param_value(name); };
    SilenceRequest asked;
    asked.post = request.method == "POST";
    asked.alert_id = request.matches[1];
    asked.span = request.matches[2];
    asked.expires = value("expires");
    asked.signature = value("signature");
    asked.until = value("until");
    asked.asked = value("asked");
    asked.confirmed = value("confirmed");
    SilencePage page = AnswerSilence(asked, options_.silence, options_.now_wall_us());
    Answer(response, page.status, std::move(page.html), "text/html; charset=utf-8");
  }

  void Savepoint(const Request& request, Response& response) {
    const Turn turn(&slow_, kSlowMax);
    if (!turn.holds()) return RefuseBusy(response);
    const std::string name = request.get_header_value(kSavepointHeader);
    if (name.empty() || name.find_first_not_of(kSavepointNameLetters) != std::string::npos)
      return Refuse(response, 400, std::string("send a name of letters, digits, - and _ as ") + kSavepointHeader);
    const Status status = options_.savepoint(request.get_header_value(kSavepointStateHeader), name,
                                             request.has_header(kSavepointFreshHeader));
    if (!status.ok()) return Refuse(response, 409, status.ToString());
    Answer(response, 200, "{}\n", "application/json");
  }

  void Alerts(const std::string& alert_id, Response& response) {
    const Turn turn(&slow_, kSlowMax);
    if (!turn.holds()) return RefuseBusy(response);
    const Result<std::string> body = options_.alerts(alert_id);
    if (!body.ok() && body.status().code() == StatusCode::kNotFound)
      return Refuse(response, 404, body.status().message());
    if (!body.ok()) return Refuse(response, 500, body.status().ToString());
    Answer(response, 200, *body + "\n", "application/json");
  }

  void OrderAlert(const char* action, const Request& request, Response& response) {
    const Turn turn(&slow_, kSlowMax);
    if (!turn.holds()) return RefuseBusy(response);
    const AlertOrder order = {action, request.get_header_value(kAlertHeader), request.get_header_value(kUntilHeader),
                              request.get_header_value(kLabelHeader), request.get_header_value(kSavepointStateHeader)};
    if (order.alert.empty())
      return Refuse(response, 400, std::string("send an alert_id or the name of a rule as ") + kAlertHeader);
    const Result<AlertOrderOutcome> outcome = options_.alert_order(order);
    if (outcome.ok() && !outcome->certain) return Refuse(response, 504, outcome->note);
    if (outcome.ok()) {
      JsonWriter json;
      json.BeginObject().Key("durable").Bool(true).Field("note", outcome->note).EndObject();
      return Answer(response, 200, json.text() + "\n", "application/json");
    }
    const StatusCode code = outcome.status().code();
    Refuse(response,
           code == StatusCode::kInvalidArgument ? 400
           : code == StatusCode::kNotFound      ? 404
                                                : 409,
           outcome.status().message());
  }

  /// Ready: every pipeline has started and none has failed.
  void Ready(Response& response) {
    std::string waiting;
    for (const PipelineView& view : options_.snapshot())
      if (view.phase == PipelinePhase::kStarting || view.phase == PipelinePhase::kFailed)
        waiting += view.name + ": " + PipelinePhaseName(view.phase) + "\n";
    Answer(response, waiting.empty() ? 200 : 503, waiting.empty() ? "ready\n" : waiting, "text/plain");
  }

  Options options_;
  HttpAddress address_;
  Routes server_;
  std::atomic<int> slow_{0}, links_{0};  ///< under way
  std::unique_ptr<HttpConnections> connections_;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const HttpAddress& HttpServer::address() const { return impl_->address(); }
void HttpServer::Stop() { impl_->Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  FRESHET_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

}  // namespace freshet
