#include "engine/expr/time_zone.h"

#include <date/tz.h>

#include <chrono>
#include <stdexcept>

namespace freshet {

const date::time_zone* FindTimeZone(const std::string& name) {
  try {
    return date::locate_zone(name);
  } catch (const std::exception&) {
    return nullptr;
  }
}

int64_t TimeZoneOffsetAt(const date::time_zone* zone, int64_t us) {
  constexpr int64_t kSecond = 1000000;
  if (zone == nullptr) return 0;
  struct Last {
    const date::time_zone* zone = nullptr;
    int64_t begin = 0, end = 0, offset = 0;
  };
  thread_local Last last;
  const int64_t second = us / kSecond - (us % kSecond < 0 ? 1 : 0);
  if (last.zone != zone || second < last.begin || second >= last.end) {
    const date::sys_info info = zone->get_info(date::sys_seconds(std::chrono::seconds(second)));
    last = {zone, info.begin.time_since_epoch().count(), info.end.time_since_epoch().count(),
            info.offset.count() * kSecond};
  }
  return last.offset;
}

int64_t TimeOfZoneClock(const date::time_zone* zone, int64_t local_us) {
  if (zone == nullptr) return local_us;
  const date::local_time<std::chrono::microseconds> local{std::chrono::microseconds(local_us)};
  return zone->to_sys(local, date::choose::earliest).time_since_epoch().count();
}

}  // namespace freshet
