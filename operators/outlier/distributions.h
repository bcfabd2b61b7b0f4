#pragma once

#include <limits>

namespace freshet {

/// Numbers of probability, from Boost.Math. All are pure; none throws. Arguments out of their range give NaN.

/// Tails of a discrete distribution at k, the probability of k itself counted half in each (the "mid-p" of Lancaster
/// 1961): on average over the noise as near to uniform as a discrete p-value can be.
struct DiscreteTails {
  double lower = 0;
  double upper = 0;
  double two_sided() const {
    const double p = 2 * (lower < upper ? lower : upper);
    return p < 1 ? p : 1;
  }
};

/// Poisson with this mean, or, with a finite size, the negative binomial with variance mean + mean^2 / size. k need not
/// be whole. REQUIRES: mean > 0, size > 0.
DiscreteTails CountTails(double k, double mean, double size = std::numeric_limits<double>::infinity());

/// Beta-binomial: k of n with a success probability drawn from Beta(a, b). k and n are whole, 0 <= k <= n, n < 2^53;
/// a, b > 0. Summed exactly while its standard deviation is below 300, else by the Beta distribution with its mean and
/// variance.
DiscreteTails BetaBinomialTails(double k, double n, double a, double b);

/// z >= 0 with P(|Z| >= z) = p of a standard normal; at most 37.5 (p = 1e-300 and below).
double NormalScore(double two_sided_p);

/// t with P(T <= t) = p of Student's t with this many degrees of freedom.
double StudentQuantile(double p, double freedom);

}  // namespace freshet
