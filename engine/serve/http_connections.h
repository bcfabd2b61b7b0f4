#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/status.h"

namespace freshet {

/// The peers of a server, each as slow as it likes: one thread reads their requests and writes the answers, and waits
/// for none of them (poll(2)). A worker sees a request only when all of it is here, and makes the whole answer, so that
/// a slow peer costs a socket and some memory, but never a thread.
///
/// Memory: kPeersMax peers, kRequestBytesMax of each, and kUnsentBytesMax of answers beside the last one made. Where
/// that does not suffice, a peer is let go: of those that have not sent their request the one that came first, else of
/// those that have not read their answer; who waits for his answer is never let go. Time plays no part.
/// A connection is good for one request.
///
/// Thread-safety: Start and Stop from one thread; `answer` is called by the workers, several at once.
class HttpConnections {
 public:
  static constexpr size_t kPeersMax = 64;
  /// Head and body. A longer request is answered by 431.
  static constexpr size_t kRequestBytesMax = size_t{32} << 10;
  static constexpr size_t kUnsentBytesMax = size_t{64} << 20;

  /// The bytes of a request (as WholeRequestBytes has it, or longer) to those of its answer.
  using AnswerFunction = std::function<std::string(const std::string& request)>;
  /// `listening` is a bound socket; it is taken over, also on an error.
  static Result<std::unique_ptr<HttpConnections>> Start(int listening, int worker_count, size_t body_bytes_max,
                                                        AnswerFunction answer);
  ~HttpConnections();
  /// Requests that are here are answered, as far as that can be sent at once; all others are let go.
  void Stop();

 private:
  enum class Phase : uint8_t { kReading, kAnswering, kWriting };
  struct Peer {
    int fd = -1;
    Phase phase = Phase::kReading;
    std::string bytes;  ///< of the request, then of the answer
    size_t sent = 0;
  };
  using Peers = std::map<uint64_t, Peer>;  ///< by the order in which they came
  struct Numbered {
    uint64_t peer;
    std::string bytes;
  };

  HttpConnections(int listening, int wake, size_t body_bytes_max, AnswerFunction answer);
  void Serve();
  void Work();
  bool Ended();
  void Accept();
  void Read(Peers::iterator at);
  void Write(Peers::iterator at);
  void StartWriting(Peers::iterator at, std::string answer);
  void TakeAnswers();
  /// False if there is none to let go.
  bool LetGoOne(Phase phase);
  void LetGo(Peers::iterator at);
  void Wake();

  const int listening_;
  const int wake_;  ///< an eventfd: answers are there, or Stop was called
  const size_t body_bytes_max_;
  const AnswerFunction answer_;
  Peers peers_;  ///< this and the next three: of the serving thread
  uint64_t next_peer_ = 0;
  size_t unsent_bytes_ = 0;
  bool no_room_ = false;  ///< the last peer could not be accepted
  std::thread server_;
  std::vector<std::thread> workers_;

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Numbered> requests_;  ///< guarded by mutex_, as all below
  std::vector<Numbered> answers_;
  bool stopping_ = false;  ///< no request is taken any more
  bool ended_ = false;     ///< nor an answer made
};

/// How long the request is that `bytes` begin with: head, and body where its Content-Length is at most
/// `body_bytes_max`, written in digits alone. A body that is encoded, or that the peer waits to be asked for
/// (`Expect`), is not counted, as a longer one is not: it is to be refused. 0: the head is not all here.
size_t WholeRequestBytes(std::string_view bytes, size_t body_bytes_max);

}  // namespace freshet
