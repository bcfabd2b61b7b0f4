#include "operators/anomaly/anomaly_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr double kScoreMax = 8;
constexpr double kResidualMax = 50;  // in robust standard deviations
// A row this unlikely is no usual row, nor are those whose last values it is still among.
constexpr double kStrayBelow = 1e-6;
constexpr int kWake = PatternDistance::kLong;
// After so many in a row the rows themselves have changed, and are learned.
constexpr int kStrayRunMax = 100;

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
      series_(static_cast<size_t>(options.metrics), SeriesScorer(options.series)),
      expected_(static_cast<size_t>(options.metrics), SeriesVerdict::kNone),
      tail_(TailCalibratorOptions{}),
      gate_(options.gate) {
  if (options.metrics < 2) return;
  RollingForestOptions forest;
  forest.features = options.metrics;
  forest.seed = options.seed;
  forest_.emplace(forest);
  forest_tail_.emplace(TailCalibratorOptions{});
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

AnomalyVerdict AnomalyModel::ScoreAndLearn(EventTime time, const double* x, const double* n) {
  AnomalyVerdict verdict;
  std::vector<double> values(x, x + series_.size());
  std::vector<SeriesVerdict> verdicts(series_.size());
  double total = 0, best = -1;
  int kinds = 0;
  bool any = false;
  const auto add = [&](double score, int metric) {
    if (std::isnan(score)) return;
    total += std::pow(10.0, score);
    ++kinds;
    if (score <= best) return;
    best = score;
    verdict.metric = metric;
  };
  // Once one metric is warm, those that are not have to wait.
  const bool heard = std::any_of(series_.begin(), series_.end(), [](const SeriesScorer& s) { return s.warm(); });
  for (size_t m = 0; m < series_.size(); ++m) {
    any = any || !std::isnan(values[m]);
    if (n != nullptr && !std::isnan(expected_[m]) && n[m] >= 0)
      values[m] = (values[m] * n[m] + expected_[m] * kRatioPrior) / (n[m] + kRatioPrior);
    verdicts[m] = series_[m].ScoreAndLearn(time, values[m]);
    if (!std::isnan(verdicts[m].expected)) expected_[m] = verdicts[m].expected;
    if (!heard || series_[m].warm()) add(verdicts[m].score, static_cast<int>(m));
  }
  if (!any) return verdict;
  if (forest_) add(ScoreTogether(verdicts, values.data()), -1);
  verdict.lead = verdicts[static_cast<size_t>(std::max(0, verdict.metric))];
  if (kinds == 0) return verdict;
  // What a young series would have cried raises its bar; only a warm one is heard.
  const double score = std::max(0.0, std::log10(total / kinds));
  const double alarm = gate_.Pass(score);
  if (!heard) return verdict;
  verdict.score = score;
  verdict.alarm_score = alarm;
  verdict.p_value = tail_.PValue(verdict.score);
  if (verdict.p_value && *verdict.p_value < kStrayBelow) wake_ = kWake;
  if (wake_ == 0 || (stray_run_ = std::min(stray_run_ + 1, kStrayRunMax + 1)) > kStrayRunMax) {
    tail_.Learn(verdict.score);
    if (wake_ == 0) stray_run_ = 0;
  }
  wake_ = std::max(0, wake_ - 1);
  const bool unusual = verdict.p_value && *verdict.p_value < options_.max_p;
  unusual_ = unusual_ << 1 | (unusual ? 1 : 0);
  const uint64_t window = options_.persist_n == 64 ? ~uint64_t{0} : (uint64_t{1} << options_.persist_n) - 1;
  verdict.is_anomaly = unusual && std::popcount(unusual_ & window) >= options_.persist_k;
  return verdict;
}

size_t AnomalyModel::memory_bytes() const {
  size_t bytes = sizeof *this + tail_.memory_bytes();
  for (const SeriesScorer& s : series_) bytes += s.memory_bytes();
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
  sink.PutU8(static_cast<uint8_t>(stray_run_));
}

Status AnomalyModel::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("anomaly: unknown codec");
  for (SeriesScorer& s : series_) FRESHET_RETURN_IF_ERROR(s.Decode(source));
  for (double& e : expected_) e = source.GetF64();
  if (forest_) {
    FRESHET_RETURN_IF_ERROR(forest_->Decode(source));
    FRESHET_RETURN_IF_ERROR(forest_tail_->Decode(source));
  }
  FRESHET_RETURN_IF_ERROR(tail_.Decode(source));
  gate_.Decode(source);
  unusual_ = source.GetU64();
  wake_ = source.GetU8();
  stray_run_ = source.GetU8();
  return source.ok() ? Status::Ok() : Status::DataLoss("anomaly: the snapshot is torn");
}

}  // namespace freshet
