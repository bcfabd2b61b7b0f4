#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace freshet {

/// Counters of one moment as /proc tells them (proc(5)); cumulative ones since boot.
struct ProcSample {
  int64_t at_us = 0;  ///< wall clock
  int64_t steady_us = 0;
  bool has_cpu = false, has_memory = false, has_disk = false, has_network = false, has_load = false;
  uint64_t cpu_user = 0;    ///< with nice, in clock ticks, summed over all cores
  uint64_t cpu_system = 0;  ///< with interrupts
  uint64_t cpu_iowait = 0;
  uint64_t cpu_steal = 0;
  uint64_t cpu_total = 0;
  int64_t memory_total = 0;  ///< bytes
  int64_t memory_available = 0;
  int64_t swap_used = 0;
  uint64_t disk_read = 0;  ///< bytes, over whole disks
  uint64_t disk_written = 0;
  uint64_t network_received = 0;  ///< bytes, over all interfaces but the loopback
  uint64_t network_sent = 0;
  double load1 = 0, load5 = 0, load15 = 0;
  int64_t processes_running = 0;
  int64_t processes_total = 0;
};

/// Each reads one file's text into `sample` and says so by its has_ flag; text that is not as expected leaves the flag
/// false. Pure functions.
void ParseProcStat(std::string_view text, ProcSample* sample);
void ParseProcMeminfo(std::string_view text, ProcSample* sample);
void ParseProcDiskstats(std::string_view text, ProcSample* sample);
void ParseProcNetDev(std::string_view text, ProcSample* sample);
void ParseProcLoadavg(std::string_view text, ProcSample* sample);

}  // namespace freshet
