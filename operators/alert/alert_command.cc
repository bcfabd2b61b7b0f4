#include "operators/alert/alert_command.h"

#include <algorithm>
#include <cstdio>

namespace freshet {
namespace {

constexpr uint8_t kVersion = 2;

}  // namespace

std::optional<uint64_t> ParseAlertId(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  uint64_t id = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    id = id << 4 | static_cast<uint64_t>(digit);
  }
  return id;
}

std::string AlertIdText(uint64_t id) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
  return text;
}

std::string AlertCommand::Encode() const {
  ByteSink sink;
  sink.PutU8(kVersion);
  sink.PutU8(static_cast<uint8_t>(verb));
  sink.PutU64(alert_id);
  sink.PutI64(until_us);
  sink.PutI64(now_us);
  sink.PutU8(static_cast<uint8_t>(label));
  sink.PutI64(form_asked_us);
  return sink.Take();
}

std::optional<AlertCommand> AlertCommand::Decode(std::string_view text) {
  ByteSource source(text);
  AlertCommand command;
  const uint8_t version = source.GetU8();
  const uint8_t verb = source.GetU8();
  command.verb = static_cast<Verb>(verb);
  command.alert_id = source.GetU64();
  command.until_us = source.GetI64();
  command.now_us = source.GetI64();
  const uint8_t label = source.GetU8();
  command.form_asked_us = source.GetI64();
  command.label = static_cast<AlertLabel>(label);
  const bool good = source.ok() && source.exhausted() && version == kVersion && verb >= 1 && verb <= 3 && label <= 2;
  if (!good || (command.alert_id == 0 && command.verb != Verb::kSilence)) return std::nullopt;
  return command;
}

bool AlertCommand::Obey(AlertCell* cell) const {
  PastAlert* past = nullptr;
  for (PastAlert& p : cell->past)
    if (p.id == alert_id) past = &p;
  if (past == nullptr && (cell->id != alert_id || cell->episode.phase() == Episode::Phase::kIdle)) return false;
  switch (verb) {
    case Verb::kSilence:
      if (Refusal(*cell) != nullptr) break;
      if (form_asked_us != 0)
        cell->form_asked_us = std::max(cell->form_asked_us, form_asked_us);
      else  // the clock may have stepped back since the last form
        cell->forms_until_us = std::max({cell->forms_until_us, cell->form_asked_us, now_us});
      if (until_us == INT64_MIN) cell->silence_ends_with_episode = false;
      if (until_us == kUntilResolved)
        cell->silence_ends_with_episode = true;
      else
        cell->silenced_until_us = until_us;
      break;
    case Verb::kAcknowledge:
      (past != nullptr ? past->acknowledged_us : cell->acknowledged_us) = now_us;
      break;
    case Verb::kLabel: {
      AlertLabel& known = past != nullptr ? past->label : cell->label;
      if (known == label) break;
      cell->feedback.Learn(label, past != nullptr ? past->surprise : cell->surprise);
      known = label;
      break;
    }
  }
  return true;
}

const char* AlertCommand::Refusal(const AlertCell& cell) const {
  if (verb != Verb::kSilence) return nullptr;
  const bool over = cell.id != alert_id || cell.episode.phase() == Episode::Phase::kIdle;
  if (until_us == kUntilResolved && over) return kTooLate;
  return form_asked_us != 0 && form_asked_us <= cell.forms_until_us ? kUsedForm : nullptr;
}

}  // namespace freshet
