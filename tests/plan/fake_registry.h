#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/base/env.h"
#include "engine/flow/descriptor.h"

namespace freshet {

/// A few node types that know enough to be planned and cannot be run:
///   source   rows      path, schema (column: type), follow, token (secret), url, count (1 to 100), ratio, budget,
///   since operator filter    where operator derive    columns, key operator check     rules; output `rejected`
///   operator window    every, key, metric; output `late`; main output: key, window_end, total
///   operator merge     up to 3 inputs
///   operator silent    fails without saying why
///   sink     print     format (text|ndjson), headers; up to 8 inputs
///   sink     send      token (secret, required), path
Registry FakeRegistry();

/// Variables of its own; relative paths are those of the source tree. Everything else is the real thing.
class TreeEnv final : public Env {
 public:
  std::map<std::string, std::string> variables;

  int64_t WallMicros() override { return 0; }
  int64_t SteadyMicros() override { return 0; }
  std::optional<std::string> Variable(const std::string& name) override;
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
};

}  // namespace freshet
