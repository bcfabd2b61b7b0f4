#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace freshet {

/// An order from outside to one node of a running pipeline, such as "silence this alert until noon", in the node's own
/// words.
///
/// Its place in the stream is a barrier: every lane of the node obeys it behind the rows of one epoch and before the
/// rows of the next (Operator::OnCommand), and what it changes is part of that epoch's checkpoint. So it is durable, or
/// it was never heard of: after a crash before the commit the rows come again without it, and whoever asked was not
/// told that it was done. An epoch that is given up keeps its commands for the next one that is committed. A node whose
/// input has ended sees no barrier any more: what is meant for it is lost, whatever goes on elsewhere in the pipeline.
///
/// Thread-safety: `node_id` and `text` are constant; the rest may be called from any thread.
class Command {
 public:
  enum class Outcome : uint8_t {
    kWaiting,
    kDurable,  ///< what the lanes answered is committed
    kLost,     ///< the run or the node's input ended first: nothing of it is durable
  };
  Command(std::string node, std::string words) : node_id(std::move(node)), text(std::move(words)) {}

  const std::string node_id;
  const std::string text;

  /// By a lane that had something to do. A command that no lane answers found nothing that it means.
  void Answer(std::string answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  std::vector<std::string> answers() const {
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  Outcome outcome() const { return outcome_.load(); }
  /// By each lane of its node that a barrier brought it to, whether there was something to do or not.
  void Reach() { reached_.store(true); }
  bool reached() const { return reached_.load(); }
  /// By the job.
  void Settle(Outcome outcome) { outcome_.store(outcome); }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> answers_;
  std::atomic<bool> reached_{false};
  std::atomic<Outcome> outcome_{Outcome::kWaiting};
};

using CommandList = std::vector<std::shared_ptr<Command>>;

/// Commands on their way through a job: waiting for a barrier, then for its commit. Thread-safe.
class CommandQueue {
 public:
  void Add(std::shared_ptr<Command> command) {
    const std::lock_guard lock(mutex_);
    if (closed_)
      command->Settle(Command::Outcome::kLost);
    else
      waiting_.push_back(std::move(command));
  }
  /// Those that go with the next barrier; null if there are none.
  std::shared_ptr<const CommandList> TakeForBarrier() {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return nullptr;
    obeyed_.insert(obeyed_.end(), waiting_.begin(), waiting_.end());
    return std::make_shared<const CommandList>(std::exchange(waiting_, {}));
  }
  /// The epoch that began last is durable, with what earlier ones that were given up had.
  void OnCommitted() {
    const std::lock_guard lock(mutex_);
    for (const auto& command : std::exchange(obeyed_, {}))
      command->Settle(command->reached() ? Command::Outcome::kDurable : Command::Outcome::kLost);
  }
  /// No barrier will go any more.
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const auto& command : std::exchange(waiting_, {})) command->Settle(Command::Outcome::kLost);
  }
  /// Some are obeyed and not durable.
  bool awaits_commit() {
    const std::lock_guard lock(mutex_);
    return !obeyed_.empty();
  }
  /// The job is over.
  void OnOver() {
    Close();
    const std::lock_guard lock(mutex_);
    for (const auto& command : std::exchange(obeyed_, {})) command->Settle(Command::Outcome::kLost);
  }

 private:
  std::mutex mutex_;
  CommandList waiting_;
  CommandList obeyed_;
  bool closed_ = false;
};

}  // namespace freshet
