#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/serve/pipeline_view.h"

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

/// Answers GET and HEAD of /healthz, /readyz, /metrics and /api/v1/pipeline on threads of its own; nothing else.
///
/// Beyond loopback every request needs `Authorization: Bearer TOKEN`, and Start refuses to listen there without a
/// token. On loopback a request whose Host is not an address or `localhost` is refused, so that a web page cannot read
/// it through a name it controls.
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
