#include "operators/anomaly/anomaly_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 4;  // 1 ended with stray_run_; up to 2 the tail had 4,000 scores, up to 3 rules no metric
constexpr int64_t kNever = std::numeric_limits<int64_t>::min();
constexpr double kScoreMax = 8;
constexpr double kOddAlone = 2;
constexpr double kResidualMax = 50;  // in robust standard deviations
// A row this unlikely is no usual row, nor are those whose last values it is still among.
constexpr double kStrayBelow = 1e-6;
constexpr int kWake = PatternDistance::kLong;
// So many of the last 25,000 or so may be left out; what comes oftener is usual, however odd it looks.
constexpr double kStraysMax = 40;
constexpr double kStraysMemory = 25000;

/// Scores of a young model drift as its parts fill: a history of 1,000 (4,000 rows, and peaks of longer) has forgotten
/// them by then. With 4,000 the p-values of the first 60,000 rows were .042 from uniform, with this .012. Odd rows come
/// in runs, so that 512 peaks are those of some 25 bursts: too few to know how loud a burst may be. The peaks of some
/// 100,000 rows are 25 KB, little beside the scorers' histories.
TailCalibratorOptions TailOptions(int history = 1000) {
  TailCalibratorOptions options;
  options.history = history;
  options.peaks = 2048;
  options.exclude_below = 0;  // the model knows better which scores are not usual
  return options;
}

}  // namespace

Status AnomalyModel::Validate(const AnomalyOptions& options) {
  FRESHET_RETURN_IF_ERROR(SeriesScorer::Validate(options.series));
  if (options.metrics < 1) return Status::InvalidArgument("there must be a metric");
  if (options.metrics > 1) {
    RollingForestOptions forest;
    forest.features = options.metrics;
    FRESHET_RETURN_IF_ERROR(RollingForest::Validate(forest));
  }
  if (!(options.gate.alarm_at > 0)) return Status::InvalidArgument("alarm_at must be above 0");
  if (options.persist_n < 1 || options.persist_n > 64 || options.persist_k < 1 || options.persist_k > options.persist_n)
    return Status::InvalidArgument("persist needs 1 <= k <= n <= 64");
  return Status::Ok();
}

AnomalyModel::AnomalyModel(const AnomalyOptions& options)
    : options_(options),
      kind_(options.series.kind),
      curves_(options.by_age ? static_cast<size_t>(options.metrics) : 0, AgeCurve(options.series.kind)),
      expected_(static_cast<size_t>(options.metrics), SeriesVerdict::kNone),
      tail_(TailOptions()),
      gate_(options.gate),
      last_us_(kNever),
      since_us_(kNever) {
  // What is left of a value beside its age has lost its kind.
  if (options.by_age) options_.series.kind = MetricKind::kLevel;
  series_.assign(static_cast<size_t>(options.metrics), SeriesScorer(options_.series));
  if (options.budget) budget_.emplace(*options.budget);
  for (const HardRuleOptions& rule : options.rules) rules_.emplace_back(rule);
  MakeForest();
}

void AnomalyModel::MakeForest() {
  if (options_.metrics < 2) return;
  RollingForestOptions forest;
  forest.features = options_.metrics;
  forest.seed = options_.seed;
  forest_.emplace(forest);
  forest_tail_.emplace(RecentTailOptions{});
}

void AnomalyModel::Forget(int metric) {
  const auto m = static_cast<size_t>(metric);
  series_[m] = SeriesScorer(options_.series);
  expected_[m] = SeriesVerdict::kNone;
  if (options_.by_age) curves_[m].Clear();
  for (HardRule& rule : rules_)
    if (rule.options().metric == metric) rule.Clear();
}

int AnomalyModel::BeginAnew(int64_t time_us) {
  int latest = -1;
  for (size_t b = 0; b < options_.breaks.size() && last_us_ != kNever; ++b) {
    const SeriesBreak& at = options_.breaks[b];
    if (at.at_us <= last_us_ || at.at_us > time_us) continue;
    for (int m = 0; m < options_.metrics; ++m)
      if (at.metric < 0 || at.metric == m) Forget(m);
    latest = static_cast<int>(b);
  }
  last_us_ = std::max(last_us_, time_us);
  if (latest < 0) return latest;
  MakeForest();
  wake_ = 0;
  unusual_ = 0;
  since_us_ = kNever;
  return latest;
}

double AnomalyModel::ScoreTogether(const std::vector<SeriesVerdict>& verdicts, const double* x) {
  std::vector<double> residuals(verdicts.size(), SeriesVerdict::kNone);
  bool any = false;
  for (size_t m = 0; m < verdicts.size(); ++m) {
    const double width = (verdicts[m].upper - verdicts[m].lower) / 6;
    if (!(width > 0) || std::isnan(x[m])) continue;
    residuals[m] = std::clamp((x[m] - verdicts[m].expected) / width, -kResidualMax, kResidualMax);
    any = true;
  }
  if (!any) return SeriesVerdict::kNone;
  const std::optional<double> p = forest_tail_->PValueAndLearn(forest_->ScoreAndLearn(residuals.data()));
  return p ? std::min(kScoreMax, -std::log10(*p)) : SeriesVerdict::kNone;
}

SeriesVerdict AnomalyModel::ScoreOne(size_t m, double value, const AnomalyInput& row) {
  if (!options_.by_age) return series_[m].ScoreAndLearn(row.time, value, row.zone_us);
  const bool is_finite = std::isfinite(value);
  const AgeCurve::Expectation usual = curves_[m].Expect(row.age_s, is_finite ? value : 0);
  if (is_finite) curves_[m].Learn(row.age_s, value);
  SeriesVerdict verdict = series_[m].ScoreAndLearn(row.time, is_finite ? usual.residual : value, row.zone_us);
  verdict.expected = usual.expected;
  verdict.lower = usual.lower;
  verdict.upper = usual.upper;
  return verdict;
}

void AnomalyModel::Judge(double score, bool heard, AnomalyVerdict* verdict) {
  if (!heard) return;
  verdict->score = score;
  verdict->p_value = tail_.PValue(score);
  if (verdict->p_value && *verdict->p_value < kStrayBelow) wake_ = kWake;
  strays_ *= 1 - 1 / kStraysMemory;
  if (wake_ == 0 || strays_ >= kStraysMax)
    tail_.Learn(score);
  else
    strays_ += 1;
  wake_ = std::max(0, wake_ - 1);
  const bool unusual = verdict->p_value && *verdict->p_value < options_.max_p;
  unusual_ = unusual_ << 1 | (unusual ? 1 : 0);
  const uint64_t window = options_.persist_n == 64 ? ~uint64_t{0} : (uint64_t{1} << options_.persist_n) - 1;
  verdict->is_anomaly = unusual && std::popcount(unusual_ & window) >= options_.persist_k;
}

/// Whether one begins to be broken.
bool AnomalyModel::ApplyRules(const AnomalyInput& row, const std::vector<SeriesVerdict>& verdicts,
                              AnomalyVerdict* verdict) {
  for (HardRule& rule : rules_) {
    const auto m = static_cast<size_t>(rule.options().metric);
    // What a first day shows is no expectation yet.
    const bool warm = series_[m].warm();
    const double sd = warm ? (verdicts[m].upper - verdicts[m].lower) / 6 : SeriesVerdict::kNone;
    const HardRuleVerdict said =
        rule.Add(row.time, row.x[m], row.n == nullptr ? 1 : row.n[m], verdicts[m].expected, sd);
    if (!said.broken || (verdict->rule != nullptr && verdict->rule->severity >= rule.options().severity)) continue;
    verdict->rule = &rule.options();
    verdict->rule_verdict = said;
  }
  const bool broken = verdict->rule != nullptr, begins = broken && !rule_broken_;
  rule_broken_ = broken;
  verdict->is_anomaly = verdict->is_anomaly || broken;
  return begins;
}

void AnomalyModel::Track(const AnomalyInput& row, AnomalyVerdict* verdict) {
  int severity = static_cast<int>(SeverityOf(verdict->p_value));
  if (severity > static_cast<int>(Severity::kLow) && row.impact < kImpactSmall) --severity;
  if (severity > 0 && severity < static_cast<int>(Severity::kCritical) && row.impact >= kImpactLarge) ++severity;
  verdict->severity = static_cast<Severity>(severity);
  if (verdict->rule != nullptr) verdict->severity = std::max(verdict->severity, verdict->rule->severity);
  const double value = row.x[std::max(0, verdict->metric)];
  const bool odd = verdict->is_anomaly || (verdict->p_value && *verdict->p_value < 1e-2) ||
                   (verdict->p_value && (value < verdict->lead.lower || value > verdict->lead.upper));
  if (!odd)
    since_us_ = kNever;
  else if (since_us_ == kNever)
    since_us_ = row.time.us;
  if (since_us_ != kNever) verdict->since_us = since_us_;
}

AnomalyVerdict AnomalyModel::ScoreAndLearn(const AnomalyInput& row) {
  AnomalyVerdict verdict;
  verdict.began_anew = BeginAnew(row.time.us);
  std::vector<double> values(row.x, row.x + series_.size());
  std::vector<SeriesVerdict> verdicts(series_.size());
  double total = 0, total_with_echo = 0, best = -1;
  int kinds = 0;
  bool any = false;
  const auto add = [&](double score, double with_echo, int metric) {
    if (std::isnan(score)) return;
    total += std::pow(10.0, score);
    total_with_echo += std::pow(10.0, with_echo);
    ++kinds;
    // The combination leads only where no metric is odd by itself.
    if (score <= best || (metric < 0 && best >= kOddAlone)) return;
    best = score;
    verdict.metric = metric;
  };
  // Once one metric is warm, those that are not have to wait.
  const bool heard = std::any_of(series_.begin(), series_.end(), [](const SeriesScorer& s) { return s.warm(); });
  for (size_t m = 0; m < series_.size(); ++m) {
    any = any || !std::isnan(values[m]);
    const double expected = options_.by_age ? curves_[m].Expect(row.age_s, 0).expected : expected_[m];
    if (row.n != nullptr && !std::isnan(expected) && row.n[m] >= 0)
      values[m] = (values[m] * row.n[m] + expected * kRatioPrior) / (row.n[m] + kRatioPrior);
    verdicts[m] = ScoreOne(m, values[m], row);
    if (!std::isnan(verdicts[m].expected)) expected_[m] = verdicts[m].expected;
    if (!heard || series_[m].warm()) add(verdicts[m].score, verdicts[m].with_echo, static_cast<int>(m));
  }
  if (!any) return verdict;
  if (forest_) {
    const double together = ScoreTogether(verdicts, values.data());
    add(together, together, -1);
  }
  verdict.lead = verdicts[static_cast<size_t>(std::max(0, verdict.metric))];
  const auto mean = [&](double sum) {
    return kinds == 0 ? SeriesVerdict::kNone : std::max(0.0, std::log10(sum / kinds));
  };
  const double score = mean(total);
  if (kinds > 0) Judge(score, heard, &verdict);
  const bool rule_begins = ApplyRules(row, verdicts, &verdict);
  // What a young series would have cried raises its bar; only a warm one is heard.
  const double loud = rule_begins ? kScoreMax : mean(total_with_echo);
  const double alarm = std::isnan(loud) ? 0 : budget_ ? budget_->Pass(row.time, loud) : gate_.Pass(loud);
  if (heard || rule_begins) verdict.alarm_score = alarm;
  if (budget_) verdict.alarm_rate = budget_->rate();
  if (kind_ == MetricKind::kCount || kind_ == MetricKind::kRatio || kind_ == MetricKind::kLatency)
    verdict.lead.lower = std::max(verdict.lead.lower, std::min(0.0, verdict.lead.expected));
  if (kind_ == MetricKind::kRatio)
    verdict.lead.upper = std::min(verdict.lead.upper, std::max(1.0, verdict.lead.expected));
  Track(row, &verdict);
  return verdict;
}

size_t AnomalyModel::memory_bytes() const {
  size_t bytes = sizeof *this + tail_.memory_bytes();
  for (const SeriesScorer& s : series_) bytes += s.memory_bytes();
  for (const AgeCurve& c : curves_) bytes += c.memory_bytes();
  if (budget_) bytes += budget_->memory_bytes();
  if (forest_) bytes += forest_->memory_bytes() + forest_tail_->memory_bytes();
  return bytes;
}

void AnomalyModel::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  for (const SeriesScorer& s : series_) s.Encode(sink);
  for (const double e : expected_) sink.PutF64(e);
  if (forest_) {
    forest_->Encode(sink);
    forest_tail_->Encode(sink);
  }
  tail_.Encode(sink);
  gate_.Encode(sink);
  sink.PutU64(unusual_);
  sink.PutU8(static_cast<uint8_t>(wake_));
  sink.PutF64(strays_);
  sink.PutI64(last_us_);
  sink.PutI64(since_us_);
  sink.PutBool(rule_broken_);
  for (const AgeCurve& c : curves_) c.Encode(sink);
  // What options without effect on the state may add or take away stands in bytes that can be skipped.
  ByteSink budget;
  if (budget_) budget_->Encode(budget);
  sink.PutString(budget.bytes());
  sink.PutVarint(rules_.size());
  for (const HardRule& rule : rules_) {
    ByteSink slots;
    rule.Encode(slots);
    sink.PutU8(static_cast<uint8_t>(rule.options().kind));
    sink.PutVarint(static_cast<uint64_t>(rule.options().metric));
    sink.PutString(slots.bytes());
  }
}

Status AnomalyModel::Decode(ByteSource& source) {
  const uint8_t codec = source.GetU8();
  if (codec == 0 || codec > kCodec) return Status::DataLoss("anomaly: unknown codec");
  for (SeriesScorer& s : series_) FRESHET_RETURN_IF_ERROR(s.Decode(source));
  for (double& e : expected_) e = source.GetF64();
  if (forest_) {
    FRESHET_RETURN_IF_ERROR(forest_->Decode(source));
    FRESHET_RETURN_IF_ERROR(forest_tail_->Decode(source));
  }
  if (codec < 3) tail_ = TailCalibrator(TailOptions(4000));
  FRESHET_RETURN_IF_ERROR(tail_.Decode(source));
  gate_.Decode(source);
  unusual_ = source.GetU64();
  wake_ = source.GetU8();
  if (codec < 3)
    (void)source.GetU8();  // strays in a row
  else
    strays_ = source.GetF64();
  const Status torn = Status::DataLoss("anomaly: the snapshot is torn");
  if (codec == 1) {
    for (const SeriesScorer& s : series_) last_us_ = std::max(last_us_, s.newest_us().value_or(kNever));
    return source.ok() ? Status::Ok() : torn;
  }
  last_us_ = source.GetI64();
  since_us_ = source.GetI64();
  rule_broken_ = source.GetBool();
  for (AgeCurve& c : curves_)
    if (!c.Decode(source)) return torn;
  ByteSource budget(source.GetString());
  if (budget_ && budget.remaining() > 0 && !budget_->Decode(budget)) return torn;
  for (uint64_t count = source.GetVarint(); count > 0 && source.ok(); --count) {
    const uint8_t kind = source.GetU8();
    std::optional<uint64_t> metric;
    if (codec >= 4) metric = source.GetVarint();
    ByteSource slots(source.GetString());
    // Sums of another metric are none of a rule's.
    for (HardRule& rule : rules_)
      if (static_cast<uint8_t>(rule.options().kind) == kind &&
          metric.value_or(static_cast<uint64_t>(rule.options().metric)) == static_cast<uint64_t>(rule.options().metric))
        rule.Decode(slots);
  }
  return source.ok() ? Status::Ok() : torn;
}

}  // namespace freshet
