#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/base/env.h"

namespace freshet {

/// What a state is known to have brought to the disk, in a small file beside its log (FORMAT.md, "Synced mark"). After
/// a power cut the log may end in anything: what was not synced is there, cut, or garbage. Garbage in the log looks the
/// same whether it was written without a sync or was synced and rotted since; the mark tells the two apart. It is
/// written after a sync has succeeded, so it never says too much; it is not synced itself, so it may say too little.
/// Thread-safe.
class SyncedMark {
 public:
  struct Point {
    uint64_t epoch = 0;     ///< the last committed one
    uint64_t sequence = 0;  ///< the store's number of its last synced write
  };

  SyncedMark(Env* env, std::string path) : env_(env), path_(std::move(path)) {}

  /// The furthest point that can be read; nothing if there is none: the state is of an older Freshet, or a copy.
  std::optional<Point> Read() const;
  /// Begins the file anew, synced. All that `point` says is durable.
  Status Begin(Point point);
  /// All that `point` says is durable. What cannot be written is left out.
  void Note(Point point);

 private:
  Env* const env_;
  const std::string path_;
  std::mutex mutex_;
  Point last_;
  std::unique_ptr<WritableFile> file_;
};

}  // namespace freshet
