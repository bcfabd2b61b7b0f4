#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

struct NoticeGroupOptions {
  int64_t wait_us = 0;      ///< from the first alert of a notice to the notice
  int64_t interval_us = 0;  ///< between two notices of a group
};

/// An alert as its rows tell it.
struct NoticeMember {
  std::string id;
  int64_t fired_us = 0;  ///< when its firing row came
  int64_t started_us = 0;
  int64_t peaked_us = 0;
  std::optional<double> peak;
  uint8_t severity = 0;
  std::string message;
  std::string row_bytes;  ///< its firing row, encoded; kept for the first one of a notice only once that has left
};

/// Several alerts told as one. The first of `members` leads: the notice has its id and its other columns.
struct Notice {
  std::vector<NoticeMember> members;  ///< in the order they fired; of one that has left, those that still fire
  NoticeMember lead;                  ///< once it has left
  int64_t count = 0;                  ///< of alerts in it, once it has left
  bool held_back = false;             ///< the budget did not let it leave: its end is not told either
  // The worst of all members, so far.
  int64_t started_us = 0;
  int64_t peaked_us = 0;
  std::optional<double> peak;
  uint8_t severity = 0;
  int64_t ended_us = 0;
};

/// The alerts of one group: those that wait to be told together, and the notices of which some still fire. A plain
/// value that knows no runtime type.
///
/// A notice leaves `wait` after its first alert fired, and not before `interval` after the group's last one. Alerts
/// that resolve before are left out; a notice with none is never told. It resolves when its last alert does. An alert
/// that fires after its group's notice has left belongs to the next one.
///
/// REQUIRES: times do not fall; at each moment alerts before OnTime ("what fires at the deadline belongs to it").
class NoticeGroup {
 public:
  void OnFiring(NoticeMember member, const NoticeGroupOptions& options);
  /// An alert is over. The notice that ended with it, if it was the last of one that has left.
  std::optional<Notice> OnResolved(const NoticeMember& member, int64_t ended_us);
  std::optional<int64_t> Deadline() const;
  /// When there is something to do: the deadline, or else the moment from which it is empty.
  std::optional<int64_t> Wakes(const NoticeGroupOptions& options) const;
  /// The notice that is due, with its lead and worst values; it stays here until all of it has resolved.
  /// REQUIRES: Deadline() <= now.
  Notice& OnTime(int64_t now_us);
  /// Nothing waits, fires or is remembered.
  bool empty(int64_t now_us, const NoticeGroupOptions& options) const;

  /// Calls `change` for the bytes of each row it keeps; false if a call says so.
  bool ChangeRows(const std::function<bool(std::string*)>& change);
  /// Beside the object itself.
  int64_t memory_bytes() const;
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  Notice waiting_;
  int64_t due_us_ = 0;  ///< of `waiting_`, if it has members
  bool left_once_ = false;
  int64_t last_left_us_ = 0;
  std::vector<Notice> left_;
};

/// "3 alerts: one; two; three" of at most five messages, in the order they fired; the message alone for one.
std::string NoticeText(const Notice& notice);

}  // namespace freshet
