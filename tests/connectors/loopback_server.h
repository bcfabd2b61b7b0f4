#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace freshet::test {

/// An HTTP server on 127.0.0.1 with plain sockets, for tests: one request per connection. `answer` gets the number of
/// the request (from 0) and returns the whole response, or "" to keep the connection open and silent.
class LoopbackServer {
 public:
  explicit LoopbackServer(std::function<std::string(int)> answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ok_ = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 16) == 0 &&
          ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~LoopbackServer() {
    stop_ = true;
    thread_.join();
    for (int fd : silent_) ::close(fd);
    ::close(listener_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  bool ok() const { return ok_; }
  std::string url(const std::string& path = "/hook") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  /// Whole requests, headers and body, in order.
  std::vector<std::string> requests() const {
    const std::lock_guard<std::mutex> guard(mutex_);
    return requests_;
  }

 private:
  void Serve() {
    while (!stop_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      int number = 0;
      {
        const std::string request = ReadRequest(fd);
        const std::lock_guard<std::mutex> guard(mutex_);
        number = static_cast<int>(requests_.size());
        requests_.push_back(request);
      }
      const std::string response = answer_(number);
      if (response.empty()) {
        silent_.push_back(fd);
        continue;
      }
      (void)!::write(fd, response.data(), response.size());
      ::close(fd);
    }
  }

  std::string ReadRequest(int fd) {
    std::string text;
    char buffer[4096];
    size_t need = std::string::npos;
    while (!stop_ && text.size() < need) {
      pollfd waiting{fd, POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<size_t>(n));
      const size_t end = text.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const size_t length = text.find("Content-Length: ");
      need = end + 4 + (length < end ? static_cast<size_t>(std::stoul(text.substr(length + 16))) : 0);
    }
    return text;
  }

  std::function<std::string(int)> answer_;
  int listener_ = -1;
  int port_ = 0;
  bool ok_ = false;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<int> silent_;
  std::thread thread_;
};

inline std::string HttpAnswer(int status, const std::string& headers = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " Whatever\r\nContent-Length: 2\r\nConnection: close\r\n" + headers +
         "\r\nok";
}

}  // namespace freshet::test
