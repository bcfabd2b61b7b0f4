#include "operators/alert/alert_cell.h"

#include <algorithm>
#include <functional>

namespace freshet {
namespace {

int64_t After(int64_t at_us, int64_t duration_us) {
  int64_t sum = 0;
  return __builtin_add_overflow(at_us, duration_us, &sum) ? INT64_MAX : sum;
}

/// The third largest, or the least of fewer.
double StrongThird(std::vector<double> values) {
  const size_t at = std::min<size_t>(2, values.size() - 1);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end(), std::greater<>());
  return values[at];
}

void EncodePast(const PastAlert& p, ByteSink& sink) {
  sink.PutU64(p.id);
  sink.PutI64(p.started_us);
  sink.PutI64(p.ended_us);
  sink.PutI64(p.peaked_us);
  sink.PutF64(p.peak);
  sink.PutU8(static_cast<uint8_t>((p.has_peak ? 1 : 0) | (p.told ? 2 : 0)));
  sink.PutU8(p.severity);
  sink.PutU8(static_cast<uint8_t>(p.label));
  sink.PutI64(p.acknowledged_us);
  sink.PutString(p.message);
  sink.PutF64(p.surprise);
  p.brief.Encode(sink);
}

bool DecodeLabel(ByteSource& source, AlertLabel* label) {
  const uint8_t byte = source.GetU8();
  *label = static_cast<AlertLabel>(byte);
  return byte <= static_cast<uint8_t>(AlertLabel::kNoise);
}

bool DecodePast(ByteSource& source, uint16_t codec, PastAlert* p) {
  p->id = source.GetU64();
  p->started_us = source.GetI64();
  p->ended_us = source.GetI64();
  p->peaked_us = source.GetI64();
  p->peak = source.GetF64();
  const uint8_t flags = source.GetU8();
  p->has_peak = (flags & 1) != 0;
  p->told = (flags & 2) != 0;
  p->severity = source.GetU8();
  const bool good = DecodeLabel(source, &p->label);
  p->acknowledged_us = source.GetI64();
  p->message = source.GetString();
  if (codec >= 3) p->surprise = source.GetF64();
  if (codec >= 5 && !p->brief.Decode(source)) return false;
  return source.ok() && good && p->severity <= 4;
}

}  // namespace

int64_t AlertCell::QuietUntil(int64_t at_us, const AlertRules& rules, int64_t rule_silenced_until_us) const {
  if (silence_ends_with_episode) return INT64_MAX;
  return std::max({rules.maintenance.QuietUntil(at_us), silenced_until_us, rule_silenced_until_us, at_us});
}

std::optional<EpisodeEvent> AlertCell::Tell(const std::optional<EpisodeEvent>& event, const AlertRules& rules,
                                            int64_t rule_silenced_until_us) {
  if (!event) return std::nullopt;
  if (!event->firing) {
    Remember(rules);
    return told ? event : std::nullopt;
  }
  held_until_us = QuietUntil(event->time_us, rules, rule_silenced_until_us);
  told = held_until_us == event->time_us;
  return told ? event : std::nullopt;
}

void AlertCell::Remember(const AlertRules& rules) {
  if (rules.remember_us == 0) return;
  PastAlert p;
  p.id = id;
  p.started_us = episode.started_us();
  p.ended_us = episode.ended_us();
  p.peaked_us = episode.peaked_us();
  p.peak = episode.peak();
  p.has_peak = episode.has_peak();
  p.told = told;
  p.severity = episode.severity();
  p.label = label;
  p.acknowledged_us = acknowledged_us;
  p.message = message;
  p.surprise = surprise;
  p.brief = brief;
  past.push_back(std::move(p));
  if (past.size() > kPastCountMax) past.pop_front();
}

std::optional<int64_t> AlertCell::Deadline(const AlertRules& rules) const {
  std::optional<int64_t> next = episode.Deadline(rules.episode);
  const auto also = [&](int64_t at) { next = next ? std::min(*next, at) : at; };
  if (held() && held_until_us < INT64_MAX) also(held_until_us);
  if (!past.empty() && !rules.ended && rules.remember_us < INT64_MAX)
    also(After(past.front().ended_us, rules.remember_us));
  if (!rules.ended && silenced_until_us > INT64_MIN && silenced_until_us < INT64_MAX) also(silenced_until_us);
  if (!recent.empty() && !rules.ended && rules.remember_us < INT64_MAX)
    also(After(recent.last_us(), rules.remember_us));
  return next;
}

std::optional<EpisodeEvent> AlertCell::OnTime(int64_t now_us, const AlertRules& rules, int64_t rule_silenced_until_us,
                                              bool* started) {
  *started = false;
  const std::optional<int64_t> deadline = Deadline(rules);
  if (!deadline || *deadline > now_us) return std::nullopt;
  if (!past.empty() && !rules.ended && rules.remember_us < INT64_MAX &&
      After(past.front().ended_us, rules.remember_us) == *deadline) {
    past.pop_front();
    return std::nullopt;
  }
  // A key of which nothing is heard any more; what it is in the middle of, ends by its own rules.
  if (!recent.empty() && !rules.ended && rules.remember_us < INT64_MAX &&
      After(recent.last_us(), rules.remember_us) == *deadline) {
    recent.Clear();
    return std::nullopt;
  }
  // The episode's own time comes first: what is over at the end of a silence is not told.
  if (episode.Deadline(rules.episode) == deadline) {
    const auto event = episode.OnTime(*deadline, rules.episode, started);
    if (*started) surprise = 0;
    EndSilence(*started);
    return Tell(event, rules, rule_silenced_until_us);
  }
  if (!rules.ended && silenced_until_us == *deadline) {
    silenced_until_us = INT64_MIN;
    return std::nullopt;
  }
  held_until_us = QuietUntil(*deadline, rules, rule_silenced_until_us);
  told = held_until_us == *deadline;
  return told ? std::optional(EpisodeEvent{true, *deadline}) : std::nullopt;
}

std::optional<EpisodeEvent> AlertCell::OnRow(const AlertInput& row, const AlertRules& rules,
                                             int64_t rule_silenced_until_us, bool* started) {
  if (row.shown) recent.Push(row.episode.time_us, *row.shown);
  BoundFloor(row, rules);
  EpisodeInput input = row.episode;
  if (row.surprise > 0 && row.surprise < SurpriseFloor()) input.condition = false;
  const auto event = episode.OnRow(input, rules.episode, started);
  if (*started) surprise = 0;
  EndSilence(*started);
  if (input.condition && episode.phase() != Episode::Phase::kIdle) surprise = std::max(surprise, row.surprise);
  return Tell(event, rules, rule_silenced_until_us);
}

void AlertCell::BoundFloor(const AlertInput& row, const AlertRules& rules) {
  if (!rules.surprise_has_own_unit) {
    floor_max = kSurpriseEnough;
    return;
  }
  if (!row.episode.condition || row.surprise <= 0) return;
  least_met = least_met > 0 ? std::min(least_met, row.surprise) : row.surprise;
  most_met = std::max(most_met, row.surprise);
  if (lately_met.size() == kLatelyMetMax) lately_met.erase(lately_met.begin());
  lately_met.push_back(row.surprise);
  floor_max = std::min(std::max(Feedback::kFactorMax * least_met, StrongThird(lately_met)), most_met);
}

void AlertCell::EndSilence(bool another_started) {
  if (!silence_ends_with_episode || (episode.phase() != Episode::Phase::kIdle && !another_started)) return;
  silence_ends_with_episode = false;
}

bool AlertCell::Forgettable(int64_t now_us, const AlertRules& rules) const {
  return episode.Forgettable(now_us, rules.episode) && past.empty() && feedback.empty() && recent.empty() &&
         silenced_until_us <= (rules.ended ? INT64_MIN : now_us);
}

int64_t AlertCell::MemoryBytes() const {
  size_t bytes = key_text.capacity() + message.capacity() + row_bytes.capacity() + last_bytes.capacity() +
                 past.size() * sizeof(PastAlert) + recent.memory_bytes() + lately_met.capacity() * sizeof(double);
  for (const PastAlert& p : past) bytes += p.message.capacity() + p.brief.memory_bytes();
  return static_cast<int64_t>(bytes + brief.memory_bytes());
}

void AlertCell::Encode(ByteSink& sink) const {
  episode.Encode(sink);
  sink.PutString(message);
  sink.PutString(row_bytes);
  feedback.Encode(sink);
  sink.PutU64(id);
  sink.PutBool(told);
  sink.PutI64(held_until_us);
  sink.PutI64(silenced_until_us);
  sink.PutU8(static_cast<uint8_t>(label));
  sink.PutI64(acknowledged_us);
  sink.PutString(key_text);
  sink.PutString(last_bytes);
  sink.PutVarint(past.size());
  for (const PastAlert& p : past) EncodePast(p, sink);
  feedback.EncodeWeakest(sink);
  sink.PutF64(surprise);
  sink.PutF64(floor_max);
  recent.Encode(sink);
  sink.PutF64(least_met);
  sink.PutF64(most_met);
  brief.Encode(sink);
  sink.PutBool(silence_ends_with_episode);
  sink.PutVarint(lately_met.size());
  for (const double x : lately_met) sink.PutF64(x);
  sink.PutI64(form_asked_us);
  sink.PutI64(forms_until_us);
}

bool AlertCell::Decode(ByteSource& source, uint16_t codec) {
  if (!episode.Decode(source, codec)) return false;
  message = source.GetString();
  row_bytes = source.GetString();
  if (codec < 2) {
    told = episode.phase() == Episode::Phase::kFiring;
    return source.ok();
  }
  bool good = feedback.Decode(source);
  id = source.GetU64();
  told = source.GetBool();
  held_until_us = source.GetI64();
  silenced_until_us = source.GetI64();
  good = DecodeLabel(source, &label) && good;
  acknowledged_us = source.GetI64();
  key_text = source.GetString();
  last_bytes = source.GetString();
  const uint64_t count = source.GetVarint();
  if (!good || !source.ok() || count > kPastCountMax) return false;
  for (uint64_t i = 0; i < count; ++i)
    if (!DecodePast(source, codec, &past.emplace_back())) return false;
  if (codec < 3) return source.ok();
  good = feedback.DecodeWeakest(source);
  surprise = source.GetF64();
  floor_max = source.GetF64();
  good = recent.Decode(source) && good;
  if (codec < 4) return good;
  least_met = source.GetF64();
  most_met = source.GetF64();
  good = source.ok() && good && std::isfinite(most_met) && least_met >= 0 && least_met <= most_met;
  if (codec < 5 || !good) return good;
  good = brief.Decode(source);
  silence_ends_with_episode = source.GetBool();
  if (codec < 6 && silence_ends_with_episode) silenced_until_us = INT64_MIN;  // it was put in the place of the time
  if (codec < 7 || !good) return good && source.ok();
  const uint64_t met_count = source.GetVarint();
  if (!source.ok() || met_count > kLatelyMetMax) return false;
  for (uint64_t i = 0; i < met_count; ++i) {
    lately_met.push_back(source.GetF64());
    good = good && lately_met.back() >= least_met && lately_met.back() <= most_met;
  }
  form_asked_us = source.GetI64();
  forms_until_us = source.GetI64();
  return good && source.ok();
}

}  // namespace freshet
