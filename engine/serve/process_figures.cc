#include "engine/serve/process_figures.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "engine/base/env.h"

namespace freshet {
namespace {

/// The number behind "NAME:" in /proc/self/status.
int64_t StatusField(const std::string& text, std::string_view name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoll(text.c_str() + at + name.size(), nullptr, 10);
}

std::string ReadProc(const char* path) {
  Result<std::string> text = Env::Posix()->ReadFile(path);
  return text.ok() ? std::move(*text) : std::string();
}

/// Start of the process: clock ticks after boot (field 22 of stat, behind the command in brackets), and when that was.
int64_t StartWallMicros() {
  const std::string stat = ReadProc("/proc/self/stat");
  size_t at = stat.rfind(')');
  if (at == std::string::npos) return 0;
  for (int field = 2; field < 22; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string::npos) return 0;
  }
  const int64_t ticks = std::strtoll(stat.c_str() + at + 1, nullptr, 10);
  const int64_t booted_s = StatusField(ReadProc("/proc/stat"), "\nbtime ");
  return booted_s * 1000000 + ticks * 1000000 / std::max<int64_t>(1, sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessFigures ReadProcessFigures() {
  ProcessFigures f;
  const std::string status = ReadProc("/proc/self/status");
  f.resident_bytes = StatusField(status, "VmRSS:") * 1024;
  f.peak_resident_bytes = StatusField(status, "VmHWM:") * 1024;
  f.virtual_bytes = StatusField(status, "VmSize:") * 1024;
  f.thread_count = StatusField(status, "Threads:");
  f.start_wall_us = StartWallMicros();
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    f.cpu_us = int64_t{1000000} * (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + usage.ru_utime.tv_usec +
               usage.ru_stime.tv_usec;
  const Result<std::vector<std::string>> files = Env::Posix()->List("/proc/self/fd");
  if (files.ok()) f.open_files = static_cast<int64_t>(files->size());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) f.open_files_max = static_cast<int64_t>(limit.rlim_cur);
  return f;
}

int64_t ResidentBytes() { return StatusField(ReadProc("/proc/self/status"), "VmRSS:") * 1024; }
int64_t PeakResidentBytes() { return StatusField(ReadProc("/proc/self/status"), "VmHWM:") * 1024; }

}  // namespace freshet
