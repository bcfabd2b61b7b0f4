#pragma once

#include <string>

#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/serve/http_server.h"

namespace freshet {

/// The body of a GET answered with 200; else what was answered, or that nobody does (kUnavailable). `token` may be
/// empty.
Result<std::string> HttpFetch(const HttpAddress& address, const std::string& path, const std::string& token,
                              Duration timeout);

}  // namespace freshet
