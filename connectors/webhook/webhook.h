#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "connectors/net/backoff.h"
#include "connectors/net/http_client.h"
#include "engine/flow/descriptor.h"

namespace freshet {

struct WebhookOptions {
  std::string url;  ///< may hold a secret: never logged, only its origin is
  std::string method = "POST";
  std::vector<std::pair<std::string, std::string>> headers = {};
  int batch_row_count_max = 1;               ///< 1: an object per request, more: an array
  Duration timeout = Duration::Seconds(10);  ///< of one attempt
  int retry_count_max = 8;
  BackoffOptions backoff = {};
  Duration retry_after_max = Duration::Seconds(300);  ///< cap on a server's Retry-After
  bool fail_when_rejected = false;                    ///< 4xx: fail instead of dropping the row
  bool drop_when_exhausted = false;                   ///< after all retries: drop instead of failing
  /// Tests put their own here; the defaults are a fresh seed and a real sleep.
  uint64_t seed = 0;
  std::function<void(Duration)> sleep = {};
};

/// Sends each row as JSON, in order, at least once; Write returns when its rows are delivered or given up.
///   Retries : no answer, 408, 429 and 5xx, with full jitter, or after the server's Retry-After.
///   Drops   : other answers that are not 2xx (redirects too) would not change: the row is dropped, counted and warned
///   of. Identity: `Idempotency-Key` is the same for every attempt and after a restore: ALERT_ID-STATE for alert rows,
///   else a
///             hash of pipeline, sink and ordinal (of the first row of a batch).
///   Secrets : neither url, headers nor rows appear in messages or logs.
std::unique_ptr<Sink> MakeWebhookSink(WebhookOptions options);

/// Sink `webhook`.
NodeDescriptor WebhookDescriptor();

}  // namespace freshet
