#include "engine/serve/http_fetch.h"

#include <httplib.h>

namespace freshet {

Result<std::string> HttpFetch(const HttpAddress& address, const std::string& path, const std::string& token,
                              Duration timeout) {
  httplib::Client client(address.host, address.port);
  const auto seconds = static_cast<time_t>(timeout.us / 1000000);
  const auto micros = static_cast<time_t>(timeout.us % 1000000);
  client.set_connection_timeout(seconds, micros);
  client.set_read_timeout(seconds, micros);
  httplib::Headers headers;
  if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
  const httplib::Result answer = client.Get(path, headers);
  if (!answer)
    return Status::Unavailable("nobody answers at " + address.ToString() + " (" + httplib::to_string(answer.error()) +
                               ")");
  if (answer->status != 200)
    return Status::Unavailable(address.ToString() + path + " answers " + std::to_string(answer->status) +
                               (answer->status == 401 ? "; set its token in FRESHET_HTTP_TOKEN" : ""));
  return answer->body;
}

}  // namespace freshet
