#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/flow/descriptor.h"

namespace freshet {

struct WebhookOptions {
  std::string url;  ///< may hold a secret: never logged, only its origin is
  std::string method = "POST";
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool arrays = false;                       ///< the body is an array of rows, else one object
  Duration timeout = Duration::Seconds(10);  ///< of one attempt
};

/// Sends rows as JSON. No answer, 408, 429 and 5xx: later, perhaps when Retry-After says; other answers that are not
/// 2xx (redirects too) would not change: refused. `Idempotency-Key` is the parcel's id. Neither url, headers nor rows
/// appear in messages or logs.
std::unique_ptr<NetworkSink> MakeWebhook(WebhookOptions options);

/// Sink `webhook`.
NodeDescriptor WebhookDescriptor();

}  // namespace freshet
