#pragma once

#include <cstdint>
#include <string>

#include "engine/base/env.h"

namespace freshet {

/// Cores this process may use: the smaller of its affinity mask and its control group's quota (version 1 or 2, every
/// group up to the root; a quota of 1.5 cores counts as 2), at least 1. `root` stands before /proc and /sys in tests.
int AvailableCores(Env* env = Env::Posix(), const std::string& root = "");

/// Bytes of memory this process may use: the smaller of the machine's RAM and its control group's limit.
int64_t MemoryLimitBytes(Env* env = Env::Posix(), const std::string& root = "");

/// CPU time that the calling thread has used, in microseconds.
int64_t ThreadCpuMicros();

/// Only the control groups' part of the above: INT64_MAX where there is no limit; cores in thousandths.
int64_t CgroupCpuLimitMilli(Env* env, const std::string& root);
int64_t CgroupMemoryLimitBytes(Env* env, const std::string& root);

}  // namespace freshet
