#include "engine/base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace freshet {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The cgroup directories to ask, innermost first: v2's own path, its parents, then the mounts' roots.
int64_t SmallestLimit(const char* v2_name, const char* v1_path, bool quota) {
  int64_t smallest = INT64_MAX;
  std::string group;
  std::ifstream self("/proc/self/cgroup");
  for (std::string line; std::getline(self, line);)
    if (line.rfind("0::", 0) == 0) group = line.substr(3);
  for (std::string path = group;; path = path.substr(0, path.find_last_of('/'))) {
    const std::string line = FirstLine("/sys/fs/cgroup" + path + "/" + v2_name);
    long long limit = 0, period = 0;
    if (quota && std::sscanf(line.c_str(), "%lld %lld", &limit, &period) == 2 && period > 0)
      smallest = std::min<int64_t>(smallest, (limit + period - 1) / period);
    if (!quota && std::sscanf(line.c_str(), "%lld", &limit) == 1) smallest = std::min<int64_t>(smallest, limit);
    if (path.empty() || path == "/") break;
  }
  long long limit = 0;
  if (std::sscanf(FirstLine(v1_path).c_str(), "%lld", &limit) == 1 && limit > 0) {
    long long period = 100000;
    if (quota) std::sscanf(FirstLine("/sys/fs/cgroup/cpu/cpu.cfs_period_us").c_str(), "%lld", &period);
    smallest = std::min<int64_t>(smallest, quota ? (limit + period - 1) / std::max(1LL, period) : limit);
  }
  return smallest;
}

int64_t StatusKib(const char* name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(name, 0) == 0) return std::strtoll(line.c_str() + std::strlen(name) + 1, nullptr, 10);
  return 0;
}

}  // namespace

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int64_t cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  cores = std::min(cores, SmallestLimit("cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", true));
  return static_cast<int>(std::max<int64_t>(1, cores));
}

int64_t AvailableMemoryBytes() {
  const int64_t ram = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  return std::min(ram, SmallestLimit("memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", false));
}

int64_t ResidentBytes() { return StatusKib("VmRSS:") * 1024; }
int64_t PeakResidentBytes() { return StatusKib("VmHWM:") * 1024; }

}  // namespace freshet
