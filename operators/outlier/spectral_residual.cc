#include "operators/outlier/spectral_residual.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr size_t kForeseen = 5;   // kappa of the paper, values behind the newest
constexpr size_t kSlopes = 5;     // m of the paper
constexpr size_t kCompared = 21;  // z of the paper
constexpr double kErrorWeight = 0.05;
constexpr double kMeanAbs = 0.7979;  // of a standard normal
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;
constexpr double kSilent = 1e-9;  // of the strongest frequency

using Complex = std::complex<double>;

/// exp(-2 pi i k / n) for k < n / 2.
std::vector<Complex> Turns(size_t n) {
  std::vector<Complex> turns(n / 2);
  for (size_t k = 0; k < n / 2; ++k)
    turns[k] = std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
  return turns;
}

/// Cooley and Tukey, in place; `sign` 1 forward, -1 back (not divided by n). Products are written out: those of the
/// library look for NaN each time.
void Transform(std::vector<Complex>& v, const std::vector<Complex>& turns, double sign) {
  const size_t n = v.size();
  for (size_t i = 1, j = 0; i < n; ++i) {
    size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(v[i], v[j]);
  }
  for (size_t length = 2; length <= n; length *= 2) {
    for (size_t k = 0; k < length / 2; ++k) {
      const double re = turns[k * (n / length)].real(), im = sign * turns[k * (n / length)].imag();
      for (size_t i = k; i < n; i += length) {
        const Complex even = v[i], other = v[i + length / 2];
        const Complex odd(other.real() * re - other.imag() * im, other.real() * im + other.imag() * re);
        v[i] = even + odd;
        v[i + length / 2] = even - odd;
      }
    }
  }
}

double Size(const Complex& c) { return std::sqrt(c.real() * c.real() + c.imag() * c.imag()); }

/// The value after `values`: the last but m - 1 plus m times the mean slope from each of the m before to the last.
double Next(std::span<const double> values) {
  const size_t n = values.size();
  double slope = 0;
  for (size_t i = 1; i <= kSlopes; ++i) slope += (values[n - 1] - values[n - 1 - i]) / static_cast<double>(i);
  return values[n - kSlopes] + slope;
}

}  // namespace

std::vector<double> SpectralSaliency(std::span<const double> values) {
  const size_t n = values.size();
  const std::vector<Complex> turns = Turns(n);
  std::vector<Complex> spectrum(values.begin(), values.end());
  Transform(spectrum, turns, 1);
  std::vector<double> amplitudes(n), logs(n);
  for (size_t i = 0; i < n; ++i) amplitudes[i] = Size(spectrum[i]);
  const double strongest = *std::max_element(amplitudes.begin(), amplitudes.end());
  if (!(strongest > 0)) return logs;
  for (size_t i = 0; i < n; ++i) {
    amplitudes[i] = std::max(amplitudes[i], kSilent * strongest);
    logs[i] = std::log(amplitudes[i]);
  }
  for (size_t i = 0; i < n; ++i) {
    const double mean = (logs[(i + n - 1) % n] + logs[i] + logs[(i + 1) % n]) / 3;
    spectrum[i] *= std::exp(logs[i] - mean) / amplitudes[i];
  }
  Transform(spectrum, turns, -1);
  for (size_t i = 0; i < n; ++i) logs[i] = Size(spectrum[i]) / static_cast<double>(n);
  return logs;
}

Status SpectralResidual::Validate(const SpectralResidualOptions& options) {
  if (options.window < 32 || options.window > 1024 || !std::has_single_bit(static_cast<unsigned>(options.window))) {
    return Status::InvalidArgument("window must be a power of two from 32 to 1024 with `spectral_residual`");
  }
  return options.threshold > 0 ? Status::Ok() : Status::InvalidArgument("threshold must be above 0");
}

size_t SpectralResidual::Past() const { return static_cast<size_t>(options_.window) - kForeseen - 1; }

std::vector<double> SpectralResidual::InOrder() const {
  std::vector<double> values;
  values.reserve(static_cast<size_t>(options_.window));
  values.insert(values.end(), values_.begin() + next_, values_.end());
  values.insert(values.end(), values_.begin(), values_.begin() + next_);
  return values;
}

OutlierVerdict SpectralResidual::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (values_.size() < Past() || std::isnan(in.x)) return verdict;
  std::vector<double> values = InOrder();
  verdict.expected = Next(values);
  const double scale = std::max({error_ / kMeanAbs, kRelativeFloor * std::abs(verdict.expected), kAbsoluteFloor});
  verdict.lower = verdict.expected - options_.threshold * scale;
  verdict.upper = verdict.expected + options_.threshold * scale;
  if (std::isinf(in.x)) {
    verdict.score = std::copysign(kOutlierScoreMax, in.x);
    return verdict;
  }
  const size_t newest = values.size();
  values.push_back(in.x);
  values.insert(values.end(), kForeseen, verdict.expected);
  // Less the level, so that it does not drown the other frequencies.
  const double level = values[0];
  for (double& v : values) v -= level;
  const std::vector<double> saliency = SpectralSaliency(values);
  double usual = 0;
  for (size_t i = 1; i <= kCompared; ++i) usual += saliency[newest - i] / kCompared;
  const double excess = usual > 0 ? saliency[newest] / usual - 1 : 0;
  verdict.score = std::copysign(std::clamp(excess, 0.0, kOutlierScoreMax), in.x - verdict.expected);
  return verdict;
}

void SpectralResidual::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  if (!std::isfinite(in.x)) return;
  double x = in.x;
  if (before.warm()) {
    // After a constant series there is no band yet that a value could be outside of.
    if (error_ > 0) x = outside_.Admit(x, before, options_.window / 2);
    error_ += kErrorWeight * (std::abs(x - before.expected) - error_);
  } else if (values_.size() > kSlopes) {
    error_ += std::max(kErrorWeight, 1.0 / static_cast<double>(values_.size() - kSlopes)) *
              (std::abs(x - Next(values_)) - error_);
  }
  if (values_.size() < Past()) {
    values_.push_back(x);
    return;
  }
  values_[next_] = x;
  next_ = next_ + 1 == values_.size() ? 0 : next_ + 1;
}

void SpectralResidual::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU32(outside_.Encoded());
  sink.PutF64(error_);
  sink.PutVarint(values_.size());
  for (const double x : InOrder()) sink.PutF64(x);
}

Status SpectralResidual::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("spectral_residual: unknown codec");
  outside_.SetEncoded(source.GetU32());
  error_ = source.GetF64();
  const uint64_t count = source.GetVarint();
  if (count > Past() || source.remaining() / sizeof(double) < count) {
    return Status::DataLoss("spectral_residual: the snapshot is torn or of a longer window");
  }
  values_.resize(count);
  next_ = 0;
  for (double& x : values_) x = source.GetF64();
  return Status::Ok();
}

}  // namespace freshet
