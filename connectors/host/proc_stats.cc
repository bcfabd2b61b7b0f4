#include "connectors/host/proc_stats.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace freshet {
namespace {

constexpr uint64_t kSectorBytes = 512;  // of /proc/diskstats, whatever the disk's own sectors are

std::string_view NextLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return line;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < line.size();) {
    const size_t from = line.find_first_not_of(" \t", at);
    if (from == std::string_view::npos) break;
    const size_t to = std::min(line.find_first_of(" \t", from), line.size());
    words.push_back(line.substr(from, to - from));
    at = to;
  }
  return words;
}

template <class T>
T Number(std::string_view word) {
  T value{};
  std::from_chars(word.data(), word.data() + word.size(), value);
  return value;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// A whole disk: not a partition of one, nor something that only maps to other disks.
bool IsWholeDisk(std::string_view name) {
  const auto starts = [&](std::string_view prefix) { return name.substr(0, prefix.size()) == prefix; };
  if (name.empty() || starts("loop") || starts("ram") || starts("dm-") || starts("md") || starts("sr") ||
      starts("zram") || starts("fd"))
    return false;
  if (starts("nvme") || starts("mmcblk") || starts("nbd")) {
    // nvme0n1 is a disk, nvme0n1p1 a part of it.
    const size_t p = name.rfind('p');
    return p == std::string_view::npos || p + 1 == name.size() || !IsDigit(name[p + 1]) || !IsDigit(name[p - 1]);
  }
  return !IsDigit(name.back());  // sda, vda, xvda; sda1 is a part
}

}  // namespace

void ParseProcStat(std::string_view text, ProcSample* sample) {
  while (!text.empty()) {
    const auto words = Words(NextLine(&text));
    if (words.size() < 6 || words[0] != "cpu") continue;
    uint64_t ticks[9] = {};
    for (size_t i = 1; i < words.size() && i <= 8; ++i) ticks[i] = Number<uint64_t>(words[i]);
    // user nice system idle iowait irq softirq steal; guest time is part of user already
    sample->cpu_user = ticks[1] + ticks[2];
    sample->cpu_system = ticks[3] + ticks[6] + ticks[7];
    sample->cpu_iowait = ticks[5];
    sample->cpu_steal = ticks[8];
    sample->cpu_total = 0;
    for (uint64_t t : ticks) sample->cpu_total += t;
    sample->has_cpu = true;
    return;
  }
}

void ParseProcMeminfo(std::string_view text, ProcSample* sample) {
  int64_t swap_total = 0;
  int64_t swap_free = 0;
  bool has_total = false;
  bool has_available = false;
  while (!text.empty()) {
    const auto words = Words(NextLine(&text));
    if (words.size() < 2) continue;
    const int64_t bytes = Number<int64_t>(words[1]) * 1024;
    if (words[0] == "MemTotal:") {
      sample->memory_total = bytes;
      has_total = bytes > 0;
    } else if (words[0] == "MemAvailable:") {
      sample->memory_available = bytes;
      has_available = true;
    } else if (words[0] == "SwapTotal:") {
      swap_total = bytes;
    } else if (words[0] == "SwapFree:") {
      swap_free = bytes;
    }
  }
  sample->swap_used = swap_total - swap_free;
  sample->has_memory = has_total && has_available;
}

void ParseProcDiskstats(std::string_view text, ProcSample* sample) {
  while (!text.empty()) {
    const auto words = Words(NextLine(&text));
    if (words.size() < 10) continue;
    sample->has_disk = true;
    if (!IsWholeDisk(words[2])) continue;
    sample->disk_read += Number<uint64_t>(words[5]) * kSectorBytes;
    sample->disk_written += Number<uint64_t>(words[9]) * kSectorBytes;
  }
}

void ParseProcNetDev(std::string_view text, ProcSample* sample) {
  while (!text.empty()) {
    const std::string_view line = NextLine(&text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto name = Words(line.substr(0, colon));
    const auto counters = Words(line.substr(colon + 1));
    if (name.size() != 1 || counters.size() < 9) continue;
    sample->has_network = true;
    if (name[0] == "lo") continue;
    sample->network_received += Number<uint64_t>(counters[0]);
    sample->network_sent += Number<uint64_t>(counters[8]);
  }
}

void ParseProcLoadavg(std::string_view text, ProcSample* sample) {
  const auto words = Words(NextLine(&text));
  if (words.size() < 4) return;
  sample->load1 = Number<double>(words[0]);
  sample->load5 = Number<double>(words[1]);
  sample->load15 = Number<double>(words[2]);
  const size_t slash = words[3].find('/');
  if (slash == std::string_view::npos) return;
  sample->processes_running = Number<int64_t>(words[3].substr(0, slash));
  sample->processes_total = Number<int64_t>(words[3].substr(slash + 1));
  sample->has_load = true;
}

}  // namespace freshet
