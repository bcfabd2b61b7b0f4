#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace freshet::testing {

/// A request without a body by a raw socket; the whole answer with its head, or "" when nobody answers. `address` is
/// "127.0.0.1:1234".
inline std::string HttpAsk(const std::string& method, const std::string& address, const std::string& path,
                           const std::string& more_head) {
  const size_t colon = address.find(':');
  if (colon == std::string::npos) return {};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    std::string request = method + " " + path + " HTTP/1.1\r\nConnection: close\r\n" + more_head;
    if (more_head.find("Host:") == std::string::npos) request += "Host: " + address + "\r\n";
    request += "\r\n";
    (void)!send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

inline std::string HttpGet(const std::string& address, const std::string& path, const std::string& more_head = {}) {
  return HttpAsk("GET", address, path, more_head);
}

}  // namespace freshet::testing
