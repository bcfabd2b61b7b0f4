#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

namespace freshet::testing {

/// A raw socket on a server at an address such as "127.0.0.1:1234".
class HttpPeer {
 public:
  HttpPeer() = default;
  HttpPeer(HttpPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  HttpPeer& operator=(HttpPeer&&) = delete;
  ~HttpPeer() { Close(); }
  /// `receive_bytes`: how much the system holds that was not read; 0: as it likes.
  bool Connect(const std::string& address, int receive_bytes = 0) {
    Close();
    const size_t colon = address.find(':');
    if (colon == std::string::npos) return false;
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    return connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  bool Send(const std::string& bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  /// False: there is no more.
  bool Some(std::string* bytes) {
    char buffer[4096];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n > 0) bytes->append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  /// Until the other side closes.
  std::string Rest() {
    std::string bytes;
    while (Some(&bytes)) {
    }
    return bytes;
  }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

/// A request without a body; the whole answer with its head, or "" when nobody answers.
inline std::string HttpAsk(const std::string& method, const std::string& address, const std::string& path,
                           const std::string& more_head) {
  HttpPeer peer;
  if (!peer.Connect(address)) return {};
  std::string request = method + " " + path + " HTTP/1.1\r\nConnection: close\r\n";
  if (more_head.find("Host:") == std::string::npos) request += "Host: " + address + "\r\n";
  request += more_head + "\r\n";
  (void)peer.Send(request);
  return peer.Rest();
}

inline std::string HttpGet(const std::string& address, const std::string& path, const std::string& more_head = {}) {
  return HttpAsk("GET", address, path, more_head);
}

}  // namespace freshet::testing
