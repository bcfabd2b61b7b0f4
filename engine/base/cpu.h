#pragma once

#include <cstdint>

namespace freshet {

/// Cores that this process may use: the smaller of its affinity mask and its cgroup's CPU quota (v1 or v2, rounded up), at
/// least 1. oneTBB knows the mask but no cgroups.
int AvailableCores();
/// Bytes of memory that this process may use: the smaller of RAM and the cgroup's limit.
int64_t AvailableMemoryBytes();
/// Resident memory of this process now, and its peak, in bytes; 0 if unknown.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

}  // namespace freshet
