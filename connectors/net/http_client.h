#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Duration timeout = Duration::Seconds(10);  ///< for the whole exchange
  Duration connect_timeout = Duration::Seconds(5);
};

struct HttpResponse {
  int status = 0;
  /// Names in lower case, in the order received.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  ///< at most kHttpBodyBytesMax, the rest is dropped
  const std::string* FindHeader(std::string_view name) const;
};

inline constexpr size_t kHttpBodyBytesMax = 64 << 10;  ///< what a sink needs of an answer: a sentence for the log

/// One connection at a time, kept open between requests. http and https only, certificates are checked, redirects are
/// not followed (a POST with secrets stays where it was sent), proxies as the environment says. One thread.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  /// Any answer is OK, whatever its status. kUnavailable: no answer (refused, timed out, broken off). kInvalidArgument:
  /// the url or a header cannot be used. Messages name the host, never the url's path, query or credentials.
  Result<HttpResponse> Send(const HttpRequest& request);
  /// A Send under way gives up within about a second, later ones at once. Any thread.
  void Interrupt() { interrupted_ = true; }

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::atomic<bool> interrupted_{false};
};

/// scheme://host:port of a url, without anything secret; "the url" if it has no host.
std::string HttpOrigin(const std::string& url);
/// Reads a Retry-After header: seconds or an HTTP date, relative to `now_us` (wall clock). Never negative.
std::optional<Duration> ParseRetryAfter(std::string_view value, int64_t now_us);

}  // namespace freshet
