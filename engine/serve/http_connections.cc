#include "engine/serve/http_connections.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

namespace freshet {
namespace {

constexpr int kNoRoomMillis = 100;
constexpr const char* kTooLong =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The value of the first such line of a head. `name` in small letters, with its colon.
std::optional<std::string_view> HeadLine(std::string_view head, std::string_view name) {
  for (size_t line = head.find('\n'); line != std::string_view::npos; line = head.find('\n', line)) {
    const std::string_view rest = head.substr(++line);
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
    if (rest.size() < name.size() ||
        !std::equal(name.begin(), name.end(), rest.begin(), [&](char small, char any) { return same(any, small); }))
      continue;
    std::string_view value = rest.substr(name.size(), rest.find_first_of("\r\n") - name.size());
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    return value;
  }
  return std::nullopt;
}

}  // namespace

size_t WholeRequestBytes(std::string_view bytes, size_t body_bytes_max) {
  const size_t blank = bytes.find("\n\r\n");
  if (blank == std::string_view::npos) return 0;
  const size_t head_bytes = blank + 3;
  const std::string_view head = bytes.substr(0, head_bytes);
  const auto length = HeadLine(head, "content-length:");
  size_t body_bytes = 0;
  if (!length) return head_bytes;
  for (const char* refused : {"expect:", "transfer-encoding:", "content-encoding:"})
    if (HeadLine(head, refused)) return head_bytes;
  const auto read = std::from_chars(length->data(), length->data() + length->size(), body_bytes);
  const bool good = read.ec == std::errc() && read.ptr == length->data() + length->size();
  return head_bytes + (good && body_bytes <= body_bytes_max ? body_bytes : 0);
}

HttpConnections::HttpConnections(int listening, int wake, size_t body_bytes_max, AnswerFunction answer)
    : listening_(listening), wake_(wake), body_bytes_max_(body_bytes_max), answer_(std::move(answer)) {}

Result<std::unique_ptr<HttpConnections>> HttpConnections::Start(int listening, int worker_count, size_t body_bytes_max,
                                                                AnswerFunction answer) {
  const int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake < 0 || fcntl(listening, F_SETFL, O_NONBLOCK) != 0 || listen(listening, static_cast<int>(kPeersMax)) != 0) {
    if (wake >= 0) close(wake);
    close(listening);
    return Status::Unavailable("the HTTP server cannot wait for connections");
  }
  auto made = std::unique_ptr<HttpConnections>(new HttpConnections(listening, wake, body_bytes_max, std::move(answer)));
  made->server_ = std::thread([self = made.get()] { self->Serve(); });
  for (int i = 0; i < worker_count; ++i) made->workers_.emplace_back([self = made.get()] { self->Work(); });
  return made;
}

HttpConnections::~HttpConnections() {
  Stop();
  close(wake_);
  close(listening_);
}

void HttpConnections::Stop() {
  if (!server_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  Wake();
  server_.join();
}

void HttpConnections::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

void HttpConnections::Work() {
  for (;;) {
    Numbered request;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || !requests_.empty(); });
      if (requests_.empty()) return;
      request = std::move(requests_.front());
      requests_.pop_front();
    }
    std::string answer = answer_(request.bytes);
    {
      const std::lock_guard lock(mutex_);
      answers_.push_back({request.peer, std::move(answer)});
    }
    Wake();
  }
}

bool HttpConnections::Ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void HttpConnections::Serve() {
  std::vector<pollfd> waiting;
  std::vector<uint64_t> numbers;  // of the peers from the third on
  while (!Ended()) {
    waiting = {{wake_, POLLIN, 0}, {no_room_ ? -1 : listening_, POLLIN, 0}};
    numbers.clear();
    for (const auto& [number, peer] : peers_) {
      if (peer.phase == Phase::kAnswering) continue;
      waiting.push_back({peer.fd, static_cast<int16_t>(peer.phase == Phase::kReading ? POLLIN : POLLOUT), 0});
      numbers.push_back(number);
    }
    const int ready = poll(waiting.data(), waiting.size(), no_room_ ? kNoRoomMillis : -1);
    no_room_ = false;
    if (ready < 0) continue;  // a signal
    uint64_t count = 0;
    if (waiting[0].revents != 0) (void)!read(wake_, &count, sizeof count);
    TakeAnswers();
    for (size_t i = 0; i < numbers.size(); ++i) {
      const auto at = peers_.find(numbers[i]);
      if (waiting[2 + i].revents == 0 || at == peers_.end()) continue;
      at->second.phase == Phase::kReading ? Read(at) : Write(at);
    }
    if (waiting[1].revents != 0) Accept();
  }
  TakeAnswers();
  while (!peers_.empty()) LetGo(peers_.begin());
}

void HttpConnections::Accept() {
  // Who has sent all of his request is not in the way of the next one.
  if (peers_.size() >= kPeersMax && !LetGoOne(Phase::kReading) && !LetGoOne(Phase::kWriting)) {
    no_room_ = true;
    return;
  }
  const int fd = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0)
    peers_[next_peer_++].fd = fd;
  else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
    no_room_ = !LetGoOne(Phase::kReading) && !LetGoOne(Phase::kWriting);
}

void HttpConnections::Read(Peers::iterator at) {
  Peer& peer = at->second;
  char buffer[4096];
  const ssize_t n = recv(peer.fd, buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) return LetGo(at);
  peer.bytes.append(buffer, static_cast<size_t>(n));
  const size_t whole = WholeRequestBytes(peer.bytes, body_bytes_max_);
  if (whole == 0 || peer.bytes.size() < whole) {
    if (peer.bytes.size() > kRequestBytesMax) StartWriting(at, kTooLong);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) requests_.push_back({at->first, std::move(peer.bytes)});
  }
  peer.bytes = std::string();
  peer.phase = Phase::kAnswering;
  work_.notify_one();
}

void HttpConnections::TakeAnswers() {
  std::vector<Numbered> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (Numbered& answer : answers) {
    while (unsent_bytes_ > kUnsentBytesMax && LetGoOne(Phase::kWriting)) {
    }
    StartWriting(peers_.find(answer.peer), std::move(answer.bytes));
  }
}

void HttpConnections::StartWriting(Peers::iterator at, std::string answer) {
  Peer& peer = at->second;
  peer.phase = Phase::kWriting;
  peer.bytes = std::move(answer);
  unsent_bytes_ += peer.bytes.size();
  Write(at);
}

void HttpConnections::Write(Peers::iterator at) {
  Peer& peer = at->second;
  while (peer.sent < peer.bytes.size()) {
    const ssize_t n = send(peer.fd, peer.bytes.data() + peer.sent, peer.bytes.size() - peer.sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) break;
    peer.sent += static_cast<size_t>(n);
  }
  LetGo(at);
}

bool HttpConnections::LetGoOne(Phase phase) {
  const auto at = std::find_if(peers_.begin(), peers_.end(), [&](const auto& p) { return p.second.phase == phase; });
  if (at == peers_.end()) return false;
  LetGo(at);
  return true;
}

void HttpConnections::LetGo(Peers::iterator at) {
  const Peer& peer = at->second;
  if (peer.phase == Phase::kWriting) unsent_bytes_ -= peer.bytes.size();
  shutdown(peer.fd, SHUT_RDWR);
  close(peer.fd);
  peers_.erase(at);
}

}  // namespace freshet
