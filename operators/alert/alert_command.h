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
  int64_t now_us = 0;                    ///< kSilence, kAcknowledge: wall clock
  AlertLabel label = AlertLabel::kNone;  ///< kLabel
  int64_t form_asked_us = 0;             ///< kSilence by a form: when that was made, wall clock; 0: by no form

  std::string Encode() const;
  static std::optional<AlertCommand> Decode(std::string_view text);
  /// If the cell knows this alert: does what is ordered and returns true. A silence holds for the key. A label that the
  /// alert has already changes nothing; another one is learned as well, it does not undo the first. A silence without
  /// a form is the last word on all forms that were made before it, those above all that were used.
  bool Obey(AlertCell* cell) const;
  /// Of a cell that knows this alert: why to obey changes nothing; null: it may.
  const char* Refusal(const AlertCell& cell) const;
  /// What is to be silenced while it is on is over.
  static constexpr const char* kTooLate = "it is resolved already, so nothing is silenced";
  static constexpr const char* kUsedForm =
      "its silence was ended or changed after this page was made, so nothing is silenced; open the link again";
};

/// "27dc2be818c6cd7e" as a number; nullopt for anything else.
std::optional<uint64_t> ParseAlertId(std::string_view text);
std::string AlertIdText(uint64_t id);

}  // namespace freshet
