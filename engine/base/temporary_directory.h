#pragma once

#include <memory>
#include <string>

#include "engine/base/env.h"

namespace freshet {

/// A new directory below TMPDIR (else /tmp) that only this user can read, named PREFIX and something unique; removed
/// with the object. Those that killed processes left with the same prefix are removed when one is made. One thread.
class TemporaryDirectory {
 public:
  /// `prefix`: a file name's beginning, such as "freshet-spill-".
  static Result<std::unique_ptr<TemporaryDirectory>> Make(Env* env, const std::string& prefix);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  TemporaryDirectory(Env* env, std::string path) : env_(env), path_(std::move(path)) {}
  Env* const env_;
  const std::string path_;
  std::unique_ptr<FileLock> lock_;  ///< tells others that it is in use
};

}  // namespace freshet
