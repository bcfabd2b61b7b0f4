#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operators/alert/alert_cell.h"

namespace freshet {

/// What people order an `alert` to do while it runs; travels as the text of a Command.
struct AlertCommand {
  enum class Verb : uint8_t { kSilence = 1, kAcknowledge = 2, kLabel = 3 };
  static constexpr int64_t kUntilResolved = INT64_MAX;
  Verb verb = Verb::kSilence;
  uint64_t alert_id = 0;  ///< 0: the whole rule (silences only)
  /// kSilence, event time. kUntilResolved: while it is on, beside the time that was said. INT64_MIN ends both.
  int64_t until_us = INT64_MIN;
  int64_t now_us = 0;                    ///< kAcknowledge: wall clock
  AlertLabel label = AlertLabel::kNone;  ///< kLabel

  std::string Encode() const;
  static std::optional<AlertCommand> Decode(std::string_view text);
  /// If the cell knows this alert: does what is ordered and returns true. A silence holds for the key. A label that the
  /// alert has already changes nothing; another one is learned as well, it does not undo the first.
  bool Obey(AlertCell* cell) const;
  /// Of a cell that knows this alert: to obey changes nothing, as what is to be silenced while it is on is over.
  bool TooLate(const AlertCell& cell) const;
  static constexpr const char* kTooLate = "it is resolved already, so nothing is silenced";
};

/// "27dc2be818c6cd7e" as a number; nullopt for anything else.
std::optional<uint64_t> ParseAlertId(std::string_view text);
std::string AlertIdText(uint64_t id);

}  // namespace freshet
