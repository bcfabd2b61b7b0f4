#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/serve/pipeline_view.h"
#include "engine/serve/silence_pages.h"

namespace freshet {

/// Where to listen: "127.0.0.1:9464", "[::1]:0", ":9464" (loopback). Port 0: any free one.
struct HttpAddress {
  std::string host = "127.0.0.1";
  int port = 9464;
  bool is_loopback() const;
  /// "127.0.0.1:9464", with brackets around an IPv6 host.
  std::string ToString() const;
};
Result<HttpAddress> ParseHttpAddress(const std::string& text);

/// How a running engine is asked for a copy of its state: POST kSavepointPath with these headers (a web page of another
/// origin cannot send them): the name, the state directory, and whether a checkpoint is taken for it first.
inline constexpr const char* kSavepointPath = "/api/v1/savepoint";
inline constexpr const char* kSavepointHeader = "X-Freshet-Savepoint";
inline constexpr const char* kSavepointStateHeader = "X-Freshet-State";
inline constexpr const char* kSavepointFreshHeader = "X-Freshet-Checkpoint-First";
inline constexpr const char* kSavepointNameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// What people say of alerts: GET kAlertsPath lists them, GET kAlertsPath + "/ALERT_ID" has one, POST kAlertsPath +
/// "/silence", "/ack" or "/label" with these headers changes something: an alert_id or the name of a rule; until when
/// (event time, RFC 3339, or "now" to end a silence); "useful" or "noise"; the state directory, where several pipelines
/// run.
inline constexpr const char* kAlertsPath = "/api/v1/alerts";
inline constexpr const char* kSilencePath = "/silence";
inline constexpr const char* kAlertHeader = "X-Freshet-Alert";
inline constexpr const char* kUntilHeader = "X-Freshet-Until";
inline constexpr const char* kLabelHeader = "X-Freshet-Label";

struct AlertOrder {
  std::string action;  ///< silence, ack, label
  std::string alert;
  std::string until;
  std::string label;
  std::string state_directory;  ///< empty: whichever pipeline knows the alert
  int64_t form_asked_us = 0;    ///< a silence by the page of a link: when that was made, wall clock; 0: by none
};

/// Answers GET and HEAD of /healthz, /readyz, /metrics, /api/v1/pipeline and /api/v1/alerts on threads of its own, and
/// the POSTs above; nothing else.
///
/// Beyond loopback every request needs `Authorization: Bearer TOKEN`, and Start refuses to listen there without a
/// token. On loopback a request whose Host is not an address or `localhost` is refused, so that a web page cannot read
/// it through a name it controls.
///
/// A connection is good for one request. No more than 4 KiB are read of a body, and nothing before its length is known
/// (411, 413). What reads state or waits for a checkpoint is done for three at a time, one of them a link (else 503),
/// and no thread waits for a peer that is slow to send or to read (http_connections.h), so that health and metrics are
/// answered meanwhile.
///
/// Thread-safety: Start and Stop from one thread; `snapshot` is called from the server's threads, several at once.
class HttpServer {
 public:
  struct Options {
    HttpAddress address;
    bool fall_back = false;  ///< a port that is taken is replaced by any free one
    std::string token;       ///< required beyond loopback
    std::function<std::vector<PipelineView>()> snapshot;
    std::function<int64_t()> now_wall_us;
    /// Makes STATE/savepoints/NAME for the pipeline whose state lies in `state_directory`; absent: refused.
    std::function<Status(const std::string& state_directory, const std::string& name, bool checkpoint_first)> savepoint;
    /// The body of kAlertsPath, JSON, or with an alert_id of kAlertsPath/ID (kNotFound: 404); absent: there is no such
    /// path.
    std::function<Result<std::string>(const std::string& alert_id)> alerts;
    /// Waits until what was ordered is durable; 504 where that is not certain. kInvalidArgument: 400, kNotFound: 404,
    /// else 409: nothing was changed.
    std::function<Result<AlertOrderOutcome>(const AlertOrder&)> alert_order;
    /// Behind kSilencePath/ALERT_ID/SPAN, GET and POST; while there are no `signers` there is no such path. Whoever
    /// holds a link comes without a token and by any name of the host: the signature is what lets him in.
    SilenceHooks silence;
  };
  static Result<std::unique_ptr<HttpServer>> Start(Options options);
  ~HttpServer();
  /// Where it really listens.
  const HttpAddress& address() const;
  /// Ends what is being answered and returns; also done by the destructor.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace freshet
