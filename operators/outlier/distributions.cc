#include "operators/outlier/distributions.h"

#include <algorithm>
#include <cmath>

#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/gamma.hpp>

namespace freshet {
namespace {

namespace math = boost::math;
namespace rules = boost::math::policies;

// Doubles as doubles, and NaN or infinity instead of exceptions.
using Quiet = rules::policy<rules::promote_double<false>, rules::domain_error<rules::ignore_error>,
                            rules::pole_error<rules::ignore_error>, rules::overflow_error<rules::ignore_error>,
                            rules::underflow_error<rules::ignore_error>, rules::denorm_error<rules::ignore_error>,
                            rules::rounding_error<rules::ignore_error>, rules::evaluation_error<rules::ignore_error>,
                            rules::indeterminate_result_error<rules::ignore_error>>;
constexpr Quiet kQuiet;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kSpreadMax = 300;  // of a sum by terms
constexpr double kSmallestP = 1e-300;

/// P(X <= k) for whole k >= -1, and P(X > k): the one on the far side of the mean is computed, the other follows.
struct Sides {
  double at_most = 0;
  double above = 1;
};
Sides CountSides(double k, double mean, double size, bool high) {
  if (k < 0) return {};
  const double failure = mean / (size + mean);  // 0 for a Poisson
  if (high) {
    const double above =
        std::isinf(size) ? math::gamma_p(k + 1, mean, kQuiet) : math::ibeta(k + 1, size, failure, kQuiet);
    return {1 - above, above};
  }
  const double at_most =
      std::isinf(size) ? math::gamma_q(k + 1, mean, kQuiet) : math::ibetac(k + 1, size, failure, kQuiet);
  return {at_most, 1 - at_most};
}

double LogBeta(double a, double b) {
  return math::lgamma(a, kQuiet) + math::lgamma(b, kQuiet) - math::lgamma(a + b, kQuiet);
}

/// Sum of the terms from `k` on, away from the mean; each term follows from the one before.
template <class Ratio>
double SumTail(double term, double k, double end, double step, Ratio ratio) {
  double sum = 0;
  while (term > 1e-17 * sum && k != end) {
    term *= ratio(k);
    sum += term;
    k += step;
  }
  return sum;
}

}  // namespace

DiscreteTails CountTails(double k, double mean, double size) {
  if (!(mean > 0) || !(size > 0) || std::isnan(k)) return {kNan, kNan};
  if (std::isinf(k)) return k > 0 ? DiscreteTails{1, 0} : DiscreteTails{0, 1};
  const bool high = k > mean;
  const Sides upto = CountSides(std::floor(k), mean, size, high);
  if (k != std::floor(k)) return {upto.at_most, upto.above};
  const Sides below = CountSides(k - 1, mean, size, high);
  return {(upto.at_most + below.at_most) / 2, (upto.above + below.above) / 2};
}

DiscreteTails BetaBinomialTails(double k, double n, double a, double b) {
  if (!(k >= 0 && k <= n && a > 0 && b > 0)) return {kNan, kNan};
  const double p = a / (a + b);
  const double mean = n * p;
  const double variance = mean * (1 - p) * (a + b + n) / (a + b + 1);
  if (variance > kSpreadMax * kSpreadMax) {
    const double strength = n * n * p * (1 - p) / variance - 1;
    if (!(strength > 0)) return {kNan, kNan};
    const double share = k / n;
    return {math::ibeta(strength * p, strength * (1 - p), share, kQuiet),
            math::ibetac(strength * p, strength * (1 - p), share, kQuiet)};
  }
  const double here = std::exp(-std::log1p(n) - LogBeta(k + 1, n - k + 1) + LogBeta(a + k, b + n - k) - LogBeta(a, b));
  double beyond = 0;
  if (k > mean) {
    beyond = SumTail(here, k, n, 1, [&](double i) { return (n - i) * (a + i) / ((i + 1) * (b + n - i - 1)); });
    beyond = std::min(1.0, beyond + here / 2);
    return {1 - beyond, beyond};
  }
  beyond = SumTail(here, k, 0, -1, [&](double i) { return i * (b + n - i) / ((n - i + 1) * (a + i - 1)); });
  beyond = std::min(1.0, beyond + here / 2);
  return {beyond, 1 - beyond};
}

double NormalScore(double two_sided_p) {
  if (std::isnan(two_sided_p)) return kNan;
  return std::sqrt(2.0) * math::erfc_inv(std::clamp(two_sided_p, kSmallestP, 1.0), kQuiet);
}

double StudentQuantile(double p, double freedom) {
  if (!(p > 0 && p < 1 && freedom > 0)) return kNan;
  if (p == 0.5) return 0;
  // t^2 / (freedom + t^2) has a Beta(1/2, freedom/2) distribution.
  const double tail = 2 * std::min(p, 1 - p);
  double rest = 0;  // freedom / (freedom + t^2)
  const double share = math::ibetac_inv(0.5, freedom / 2, tail, &rest, kQuiet);
  const double t = std::sqrt(freedom * share / rest);
  return p < 0.5 ? -t : t;
}

}  // namespace freshet
