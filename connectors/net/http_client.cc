#include "connectors/net/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <mutex>

namespace freshet {
namespace {

/// libcurl wants one global start before any thread uses it; it is never stopped, because threads may use it to the
/// end.
void StartCurl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

size_t TakeBody(char* data, size_t size, size_t count, void* into) {
  auto* response = static_cast<HttpResponse*>(into);
  const size_t bytes = size * count;
  response->body.append(data, std::min(bytes, kHttpBodyBytesMax - response->body.size()));
  return bytes;
}

size_t TakeHeader(char* data, size_t size, size_t count, void* into) {
  auto* response = static_cast<HttpResponse*>(into);
  const std::string_view line(data, size * count);
  const size_t colon = line.find(':');
  if (line.substr(0, 5) == "HTTP/") response->headers.clear();  // a 100 Continue came before
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  response->headers.emplace_back(std::move(name), std::string(value));
  return size * count;
}

/// Not 0: stop. libcurl asks about once a second while nothing happens.
int IsInterrupted(void* flag, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(flag)->load() ? 1 : 0;
}

bool HasLineBreak(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

}  // namespace

struct HttpClient::Handle {
  CURL* curl = nullptr;
};

HttpClient::HttpClient() : handle_(std::make_unique<Handle>()) {
  StartCurl();
  handle_->curl = curl_easy_init();
}

HttpClient::~HttpClient() {
  if (handle_->curl != nullptr) curl_easy_cleanup(handle_->curl);
}

Result<HttpResponse> HttpClient::Send(const HttpRequest& request) {
  CURL* curl = handle_->curl;
  if (curl == nullptr) return Status::Internal("libcurl cannot be started");
  struct curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    if (HasLineBreak(name) || HasLineBreak(value)) {
      curl_slist_free_all(list);
      return Status::InvalidArgument("header `" + name.substr(0, name.find_first_of("\r\n")) + "` has a line break");
    }
    list = curl_slist_append(list, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  list = curl_slist_append(list, "Expect:");  // no 100-continue round trip

  HttpResponse response;
  curl_easy_reset(curl);  // keeps the connection
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &IsInterrupted);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &interrupted_);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(1, request.timeout.us / 1000)));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::max<int64_t>(1, request.connect_timeout.us / 1000)));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "freshet/" FRESHET_VERSION);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &TakeBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &response);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &TakeHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &response);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(list);
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    return response;
  }
  const std::string message = HttpOrigin(request.url) + ": " + curl_easy_strerror(code);
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return Status::InvalidArgument(message);
    default:
      return Status::Unavailable(message);
  }
}

const std::string* HttpResponse::FindHeader(std::string_view name) const {
  for (const auto& [known, value] : headers)
    if (known == name) return &value;
  return nullptr;
}

std::string HttpOrigin(const std::string& url) {
  StartCurl();
  CURLU* parsed = curl_url();
  char* scheme = nullptr;
  char* host = nullptr;
  char* port = nullptr;
  std::string origin = "the url";
  if (curl_url_set(parsed, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
    origin = std::string(scheme) + "://" + host;
    if (curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK) origin += std::string(":") + port;
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(parsed);
  return origin;
}

std::optional<Duration> ParseRetryAfter(std::string_view value, int64_t now_us) {
  int64_t seconds = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (parsed.ec == std::errc() && parsed.ptr == value.data() + value.size())
    return Duration::Seconds(std::clamp<int64_t>(seconds, 0, 1000000000));
  if (value.empty()) return std::nullopt;
  const time_t date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return Duration{std::max<int64_t>(0, static_cast<int64_t>(date) * 1000000 - now_us)};
}

}  // namespace freshet
