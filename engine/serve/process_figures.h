#pragma once

#include <cstdint>

namespace freshet {

/// What the operating system says about this process; fields are 0 where it does not.
struct ProcessFigures {
  int64_t resident_bytes = 0;
  int64_t peak_resident_bytes = 0;
  int64_t virtual_bytes = 0;
  int64_t cpu_us = 0;         ///< user and system
  int64_t start_wall_us = 0;  ///< when it started, since 1970
  int64_t open_files = 0;
  int64_t open_files_max = 0;
  int64_t thread_count = 0;
};
ProcessFigures ReadProcessFigures();

/// Bytes of this process in memory now, and the most there ever were.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

}  // namespace freshet
