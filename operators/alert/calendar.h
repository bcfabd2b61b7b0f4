#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace date {
class time_zone;
}

namespace freshet {

/// Maintenance windows: stretches of time in which no alert is told. Immutable, thread-safe.
///
/// A window is text: `2026-11-01T02:00Z to 2026-11-01T04:00Z` once, or days, hours and an IANA zone (default UTC) each
/// week: `daily 02:00-02:30`, `sat,sun 00:00-24:00 Europe/Berlin`, `mon-fri 22:00-06:00` (to the next morning). A
/// window holds from its first moment to its last, without the end. Hours that a change of the clock skips begin at the
/// change; of hours that come twice, the earlier ones count.
class Calendar {
 public:
  /// Adds a window. On failure says what is wrong with the text.
  std::optional<std::string> Add(std::string_view text);
  bool empty() const { return windows_.empty(); }
  /// The end of the windows that hold at `now_us`, those that follow without a gap included; `now_us` itself if none
  /// does. INT64_MAX if they never leave a gap.
  int64_t QuietUntil(int64_t now_us) const;

 private:
  struct Window {
    bool weekly = false;
    int64_t from_us = 0;                    ///< since the epoch, or since midnight
    int64_t to_us = 0;                      ///< at or before `from_us` of a weekly one: on the next day
    uint8_t days = 0;                       ///< bit 0: Monday
    const date::time_zone* zone = nullptr;  ///< null: UTC
  };
  static std::optional<std::string> ParseWeekly(std::string_view text, Window* window);
  static int64_t EndOf(const Window& window, int64_t now_us);
  std::vector<Window> windows_;
};

}  // namespace freshet
