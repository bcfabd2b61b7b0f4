#include "engine/base/cpu.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

namespace freshet {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

std::optional<int64_t> ParseInteger(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return v;
}

std::optional<int64_t> IntegerIn(Env* env, const std::string& path) {
  const Result<std::string> text = env->ReadFile(path);
  return text.ok() ? ParseInteger(*text) : std::nullopt;
}

/// Directories of this process's control groups that may bound `controller`, from its own up to the root.
struct Groups {
  std::vector<std::string> v2;
  std::vector<std::string> v1;
};

void AddWithParents(const std::string& base, std::string path, std::vector<std::string>& into) {
  while (!path.empty() && path != "/") {
    into.push_back(base + path);
    path.resize(path.rfind('/'));
  }
  into.push_back(base);
}

Groups GroupsOf(Env* env, const std::string& root, std::string_view controller) {
  Groups groups;
  const Result<std::string> text = env->ReadFile(root + "/proc/self/cgroup");
  if (!text.ok()) return groups;
  std::string_view rest = *text;
  while (!rest.empty()) {  // "0::/path" (version 2) or "4:cpu,cpuacct:/path"
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos || second + 1 >= line.size() || line[second + 1] != '/') continue;
    const std::string names(line.substr(first + 1, second - first - 1));
    const std::string path(line.substr(second + 1));
    if (names.empty()) {
      AddWithParents(root + "/sys/fs/cgroup", path, groups.v2);
    } else if (("," + names + ",").find("," + std::string(controller) + ",") != std::string::npos) {
      AddWithParents(root + "/sys/fs/cgroup/" + names, path, groups.v1);
      AddWithParents(root + "/sys/fs/cgroup/" + std::string(controller), path, groups.v1);
    }
  }
  return groups;
}

int64_t MilliCores(int64_t quota_us, int64_t period_us) {
  return quota_us > 0 && period_us > 0 ? std::max<int64_t>(1, quota_us * 1000 / period_us) : kNoLimit;
}

}  // namespace

int64_t CgroupCpuLimitMilli(Env* env, const std::string& root) {
  const Groups groups = GroupsOf(env, root, "cpu");
  int64_t limit = kNoLimit;
  for (const std::string& group : groups.v2) {
    const Result<std::string> text = env->ReadFile(group + "/cpu.max");  // "50000 100000" or "max 100000"
    if (!text.ok()) continue;
    const std::string_view view = *text;
    const size_t space = view.find(' ');
    if (space == std::string_view::npos) continue;
    const auto quota = ParseInteger(view.substr(0, space));
    const auto period = ParseInteger(view.substr(space + 1));
    if (quota && period) limit = std::min(limit, MilliCores(*quota, *period));
  }
  for (const std::string& group : groups.v1) {
    const auto quota = IntegerIn(env, group + "/cpu.cfs_quota_us");  // -1: none
    const auto period = IntegerIn(env, group + "/cpu.cfs_period_us");
    if (quota && period) limit = std::min(limit, MilliCores(*quota, *period));
  }
  return limit;
}

int64_t CgroupMemoryLimitBytes(Env* env, const std::string& root) {
  const Groups groups = GroupsOf(env, root, "memory");
  int64_t limit = kNoLimit;
  const auto narrow = [&](const std::string& path) {
    const auto bytes = IntegerIn(env, path);  // "max" (version 2) and numbers near 2^63 (version 1) are no limits
    if (bytes && *bytes > 0) limit = std::min(limit, *bytes);
  };
  for (const std::string& group : groups.v2) narrow(group + "/memory.max");
  for (const std::string& group : groups.v1) narrow(group + "/memory.limit_in_bytes");
  return limit;
}

int AvailableCores(Env* env, const std::string& root) {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) cores = CPU_COUNT(&mask);
  const int64_t milli = CgroupCpuLimitMilli(env, root);
  if (milli != kNoLimit) cores = static_cast<int>(std::min<int64_t>(cores, (milli + 999) / 1000));
  return std::max(cores, 1);
}

int64_t MemoryLimitBytes(Env* env, const std::string& root) {
  const int64_t ram = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  return std::min(ram, CgroupMemoryLimitBytes(env, root));
}

int64_t ThreadCpuMicros() {
  timespec t{};
  return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? int64_t{1000000} * t.tv_sec + t.tv_nsec / 1000 : 0;
}

}  // namespace freshet
