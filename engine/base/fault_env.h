#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "engine/base/env.h"

namespace freshet {

/// An Env in front of a real one that counts calls and makes the n-th fail, and has a clock of its own if asked: for
/// loops "fail call n for n = 0.. until the run passes untouched". Calls of the files it opened count too. Asking the
/// time or a variable does not count: these cannot fail. Thread-safe.
class FaultEnv final : public Env {
 public:
  explicit FaultEnv(Env* base) : base_(base) {}

  /// After `n` more good calls the next one fails with `status`; with `sticky` all later ones fail as well (a full
  /// disk). An Append that fails for good writes the first half of its bytes, as a torn write does; one that may be
  /// tried again takes none. What only reads is spared by kNoSpace.
  void FailAfter(int64_t n, Status status, bool sticky = false);
  /// No more faults.
  void Heal();
  /// Calls since construction, and how many of them were made to fail.
  int64_t call_count() const;
  int64_t fault_count() const;

  /// From now on both clocks stand still at this time and move only by AdvanceMicros.
  void FreezeClock(int64_t wall_us);
  void AdvanceMicros(int64_t us);
  /// The wall clock alone steps, also back. After FreezeClock.
  void StepWallMicros(int64_t us);

  int64_t WallMicros() override;
  int64_t SteadyMicros() override;
  std::optional<std::string> Variable(const std::string& name) override { return base_->Variable(name); }
  Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to) override;
  Result<FileInfo> Stat(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status RemoveTree(const std::string& path) override;
  Status MakeDirectories(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Result<std::vector<std::string>> Glob(const std::string& pattern) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

  /// Counts one call; the fault if it is this one's turn. For the files opened here.
  Status Enter();

 private:
  Env* const base_;
  mutable std::mutex mutex_;
  int64_t calls_ = 0;
  int64_t faults_ = 0;
  int64_t fail_at_ = -1;  // index of the call to fail; -1: none
  bool sticky_ = false;
  Status fault_;
  bool frozen_ = false;
  int64_t wall_us_ = 0;
  int64_t steady_us_ = 0;
};

}  // namespace freshet
