#include "operators/alert/episode.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

}  // namespace

int64_t Episode::BlockedUntil(const EpisodeOptions& options) const {
  return std::max(SaturatingAdd(ended_us_, options.cooldown_us), SaturatingAdd(started_us_, 1));
}

std::optional<int64_t> Episode::SilentAt(const EpisodeOptions& options) const {
  if (options.no_data == NoData::kKeep || !seen_ || silent_ || failing_) return std::nullopt;
  const int64_t at = SaturatingAdd(last_row_us_, options.no_data_after_us);
  const bool idle = phase_ == Phase::kIdle;
  if (options.no_data == NoData::kResolve) return idle ? std::nullopt : std::optional(at);
  if (!idle) return std::nullopt;
  return ended_once_ ? std::max(at, BlockedUntil(options)) : at;
}

std::optional<int64_t> Episode::Deadline(const EpisodeOptions& options) const {
  std::optional<int64_t> own;
  if (phase_ == Phase::kPending) own = SaturatingAdd(started_us_, options.for_us);
  if (phase_ == Phase::kFiring && failing_) own = SaturatingAdd(failed_us_, options.keep_firing_for_us);
  if (phase_ == Phase::kIdle && ended_once_) own = BlockedUntil(options);
  const std::optional<int64_t> silent = SilentAt(options);
  return own && silent ? std::min(*own, *silent) : own ? own : silent;
}

std::optional<EpisodeEvent> Episode::Silence(int64_t at_us, const EpisodeOptions& options, bool* silent) {
  if (options.no_data == NoData::kResolve) {
    seen_ = false;
    if (phase_ == Phase::kPending) {
      phase_ = Phase::kIdle;
      return std::nullopt;
    }
    failed_us_ = at_us;
    return Resolve(at_us);
  }
  Begin(at_us);
  silent_ = true;
  severity_ = options.no_data_severity;
  phase_ = Phase::kFiring;
  if (silent != nullptr) *silent = true;
  return EpisodeEvent{true, at_us};
}

void Episode::Begin(int64_t at_us) {
  started_us_ = at_us;
  peaked_us_ = at_us;
  severity_ = 0;
  has_peak_ = false;
  peak_ = 0;
}

EpisodeEvent Episode::Resolve(int64_t at_us) {
  phase_ = Phase::kIdle;
  ended_us_ = failed_us_;
  ended_once_ = true;
  failing_ = false;
  return {false, at_us};
}

std::optional<EpisodeEvent> Episode::OnTime(int64_t now_us, const EpisodeOptions& options, bool* silent) {
  const std::optional<int64_t> deadline = Deadline(options);
  if (!deadline || *deadline > now_us) return std::nullopt;
  // Of two things at one moment silence comes last: `for` may have passed, and a cooldown ended, just then.
  const std::optional<int64_t> silent_at = SilentAt(options);
  const bool cooling = phase_ == Phase::kIdle && ended_once_ && BlockedUntil(options) <= *deadline;
  const bool own = cooling || (phase_ == Phase::kPending && SaturatingAdd(started_us_, options.for_us) <= *deadline) ||
                   (phase_ == Phase::kFiring && failing_);
  if (silent_at == deadline && !own) return Silence(*deadline, options, silent);
  if (phase_ == Phase::kIdle) {
    ended_once_ = false;
    return std::nullopt;
  }
  if (phase_ == Phase::kPending) {
    phase_ = Phase::kFiring;
    return EpisodeEvent{true, *deadline};
  }
  return Resolve(*deadline);
}

void Episode::Look(const EpisodeInput& row) {
  severity_ = std::max(severity_, row.severity);
  if (!row.value || std::isnan(*row.value) || (has_peak_ && std::abs(*row.value) <= std::abs(peak_))) return;
  has_peak_ = true;
  peak_ = *row.value;
  peaked_us_ = std::max(row.time_us, started_us_);
}

std::optional<EpisodeEvent> Episode::OnRow(const EpisodeInput& row, const EpisodeOptions& options, bool* started) {
  *started = false;
  const bool was_on = phase_ != Phase::kIdle && !failing_ && !silent_;
  seen_ = options.no_data != NoData::kKeep;
  last_row_us_ = seen_ ? row.time_us : 0;
  silent_ = false;
  if (row.condition || (row.lingers && was_on)) {
    failing_ = false;
    if (phase_ != Phase::kIdle) {
      Look(row);
      return std::nullopt;
    }
    if (ended_once_ && row.time_us < BlockedUntil(options)) return std::nullopt;
    *started = true;
    Begin(row.time_us);
    Look(row);
    phase_ = options.for_us > 0 ? Phase::kPending : Phase::kFiring;
    if (phase_ == Phase::kFiring) return EpisodeEvent{true, row.time_us};
    return std::nullopt;
  }
  if (phase_ == Phase::kPending) phase_ = Phase::kIdle;
  if (phase_ != Phase::kFiring || failing_) return std::nullopt;
  failing_ = true;
  // The end of the input lets silence begin where rows may still come, if the input grows.
  failed_us_ = std::max(row.time_us, started_us_);
  if (options.keep_firing_for_us > 0) return std::nullopt;
  return Resolve(row.time_us);
}

bool Episode::Forgettable(int64_t now_us, const EpisodeOptions& options) const {
  return phase_ == Phase::kIdle && (!ended_once_ || now_us >= BlockedUntil(options)) &&
         !(seen_ && options.no_data == NoData::kFire);
}

void Episode::Encode(ByteSink& sink) const {
  sink.PutU8(static_cast<uint8_t>(phase_));
  sink.PutU8(static_cast<uint8_t>((failing_ ? 1 : 0) | (ended_once_ ? 2 : 0) | (has_peak_ ? 4 : 0) | (seen_ ? 8 : 0) |
                                  (silent_ ? 16 : 0)));
  sink.PutU8(severity_);
  sink.PutI64(started_us_);
  sink.PutI64(failed_us_);
  sink.PutI64(ended_us_);
  sink.PutI64(peaked_us_);
  sink.PutF64(peak_);
  sink.PutI64(last_row_us_);
}

bool Episode::Decode(ByteSource& source, uint16_t codec) {
  const uint8_t phase = source.GetU8();
  phase_ = static_cast<Phase>(phase);
  const uint8_t flags = source.GetU8();
  failing_ = (flags & 1) != 0;
  ended_once_ = (flags & 2) != 0;
  has_peak_ = (flags & 4) != 0;
  seen_ = (flags & 8) != 0;
  silent_ = (flags & 16) != 0;
  severity_ = source.GetU8();
  started_us_ = source.GetI64();
  failed_us_ = source.GetI64();
  ended_us_ = source.GetI64();
  peaked_us_ = source.GetI64();
  peak_ = source.GetF64();
  last_row_us_ = codec >= 2 ? source.GetI64() : 0;
  return source.ok() && phase <= static_cast<uint8_t>(Phase::kFiring) && severity_ <= 4;
}

}  // namespace freshet
