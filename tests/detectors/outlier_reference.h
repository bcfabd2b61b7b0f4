#pragma once

// Numbers from independent programs: scipy 1.17.1, statsmodels 0.15.0 and numpy 2.4.6 under Python 3.11. The call
// stands with each table. D below is scipy.stats.poisson(mean), scipy.stats.nbinom(size, size / (size + mean)) or
// scipy.stats.betabinom(n, a, b); the tails are D.cdf(k - 1) + D.pmf(k) / 2 and D.sf(k) + D.pmf(k) / 2.

#include <limits>

namespace freshet::reference {

inline constexpr double kInf = std::numeric_limits<double>::infinity();

struct CountTail {
  double k, mean, size, lower, upper;
};
inline constexpr CountTail kCountTails[] = {
    {0, 2.5, kInf, 0.0410424993119494, 0.958957500688051},
    {3, 2.5, kInf, 0.650694624508198, 0.349305375491802},
    {12, 2.5, kInf, 0.999992508671212, 7.4913287884307e-06},
    {130, 100, kInf, 0.998005533287591, 0.00199446671240924},
    {70, 100, kInf, 0.000816163579217384, 0.999183836420783},
    {1500, 1000, kInf, 1, 2.62465194494893e-49},
    {0, 2.5, 4, 0.0717061727530549, 0.928293827246945},
    {12, 2.5, 4, 0.999055578371177, 0.000944421628822952},
    {60, 2.5, 0.7, 0.999999885304749, 1.14695250641567e-07},
    {130, 100, 50, 0.950783068065446, 0.0492169319345543},
    {40, 100, 50, 1.01122467421076e-05, 0.999989887753258},
    {25000, 10000, 8, 0.999218894747457, 0.000781105252542729},
    {3, 0.001, 2, 0.999999999750312, 2.49687687499836e-10},
};

struct RatioTail {
  double k, n, a, b, lower, upper;
};
inline constexpr RatioTail kRatioTails[] = {
    {0, 10, 2, 8, 0.105263157894737, 0.894736842105263},
    {1, 2, 2, 8, 0.8, 0.2},
    {9, 10, 2, 8, 0.999447920500552, 0.000552079499448323},
    {30, 1000, 20, 980, 0.934132498652751, 0.0658675013472486},
    // upper tail in rational arithmetic (Python fractions); scipy, subtracting from 1, gives 1.135416e-06
    {60, 1000, 20, 980, 0.999998864582802, 1.13541719750123e-06},
    {2, 1000, 20, 980, 3.25086201818221e-05, 0.999967491379818},
    {400, 4000, 300, 2700, 0.506727794852054, 0.493272205147946},
    {25, 100, 0.5, 0.5, 0.334241637668937, 0.665758362331063},
    // by the Beta distribution, within 1 %
    {502500, 1000000, 500000, 500000, 0.99979653256281, 0.000203467437190551},
    {13000, 200000, 50, 950, 0.979236257198352, 0.0207637428016481},
};

struct Pair {
  double x, y;
};
/// scipy.stats.norm.isf(p / 2)
inline constexpr Pair kNormalScores[] = {
    {1, 0},
    {0.5, 0.674489750196082},
    {0.05, 1.95996398454005},
    {1e-3, 3.29052673149189},
    {1e-6, 4.89163847569859},
    {1e-12, 7.13050684817132},
    {1e-200, 30.2285080807155},
};

struct StudentPoint {
  double p, freedom, t;
};
/// scipy.stats.t.ppf(p, freedom)
inline constexpr StudentPoint kStudent[] = {
    {0.975, 1, 12.7062047361747},
    {0.975, 10, 2.22813885198627},
    {0.999, 52, 3.25451219248459},
    {1 - 0.05 / 108, 52, 3.51308638116693},
    {0.5, 3, 0},
    {0.01, 4.5, -3.52705089062609},
    {1 - 1e-9, 30, 8.4458628074416},
};

/// x[i] = (7919 i mod 1000) / 100 for i < 101, y = exp(x / 4): numpy.percentile(v, [25, 50, 75]),
/// statsmodels.robust.scale.mad(v), statsmodels.stats.stattools.medcouple(v).
struct Spread {
  double q25, q50, q75, mad, medcouple;
};
inline constexpr Spread kSpreadOfX = {2.46, 4.92, 7.57, 3.92889587903985, 0};
inline constexpr Spread kSpreadOfY = {1.84965659955833, 3.42122953628967, 6.63593780552153, 2.95257113879442,
                                      0.384249693547528};
/// statsmodels medcouple of z[i] = (37 i i mod 11) for i < 60, and of z squared: many ties.
inline constexpr double kMedcoupleOfZ = 0, kMedcoupleOfZSquared = 0.125;

/// Counts z (above), discounted by 0.98: a = 0.98 a + z, b = 0.98 b + 1. D = nbinom(a + 1/2, b / (b + 1)): k, its mean,
/// twice the smaller tail.
struct Predicted {
  double k, mean, p_value;
};
inline constexpr Predicted kGammaPoisson[] = {
    {0, 4.08480210610597, 0.0178146915699652},
    {5, 4.08480210610597, 0.617765825800245},
    {14, 4.08480210610597, 0.000164975057497907},
};
/// 10 + (i mod 3) - 1 of 100 for i < 60, discounted by 0.98 as hits and misses; share = (hits + 1/2) / (all + 1),
/// D = betabinom(400, share s, (1 - share) s), s = all + 1: k of 400, share, twice the smaller tail.
inline constexpr Predicted kBetaBinomial[] = {
    {40, 0.100248492422745, 0.992007579597228},
    {60, 0.100248492422745, 0.00323320016187595},
    {15, 0.100248492422745, 7.3637129666294e-06},
};

/// Rosner, "Percentage points for a generalized ESD many-outlier procedure", Technometrics 25 (1983), as printed in the
/// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3: 54 values of vitamin E, ten stages at 5 %: R and lambda
/// (also by numpy and scipy.stats.t.ppf). Three outliers.
inline constexpr double kRosner[] = {
    -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70,
    1.76,  1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40,
    2.47,  2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01};
inline constexpr Pair kRosnerStages[] = {
    {3.118906, 3.158794}, {2.942973, 3.151430}, {3.179424, 3.143890}, {2.810181, 3.136165}, {2.815580, 3.128247},
    {2.848172, 3.120128}, {2.279327, 3.111796}, {2.310366, 3.103243}, {2.101581, 3.094456}, {2.067178, 3.085425}};

struct Foreseen {
  int i;
  double expected, scale;
};
/// y[i] = 20 + 0.3 i + (5, -2, -6, 3)[i mod 4] + (7919 i mod 100) / 40 for i < 40. statsmodels ExponentialSmoothing(y,
/// trend='add', damped_trend=True, seasonal='add', seasonal_periods=4, initialization_method='known', initial_level=20,
/// initial_trend=.3, initial_seasonal=[5, -2, -6, 3]).fit(smoothing_level=.2, smoothing_trend=.05,
/// smoothing_seasonal=.1, damping_trend=.98, optimized=False).fittedvalues
inline constexpr Foreseen kHoltWinters[] = {
    {0, 25.294, 0}, {1, 18.5204388, 0}, {5, 20.3655518081, 0}, {20, 31.7333381307, 0}, {39, 35.3292125308, 0}};
/// z[i] = 10 + 0.2 i + (7919 i mod 100) / 50, 30 more at 25, for i < 40: equations 10 to 14 of Gelper, Fried and Croux
/// (2010) with damping .98, in Python as printed: psi Huber's and rho the biweight with k = 2; weights .2, .05 and, of
/// the scale, .05; level 10, trend .2, scale 1.
inline constexpr Foreseen kRobustHolt[] = {{0, 10.196, 1},
                                           {10, 12.9268100482018, 0.933043050996618},
                                           {25, 15.8499101468645, 0.859529883566622},
                                           {26, 16.3797827704812, 0.891497058300457},
                                           {39, 18.3595266282514, 0.844971788767363}};
/// v[i] = sin(2 pi i / 16) + (7919 i mod 100) / 300, 3 more at 57, for i < 64, less v[0]. F = numpy.fft.fft(v),
/// L = log |F|, abs(numpy.fft.ifft(exp(L - (roll(L, 1) + L + roll(L, -1)) / 3 + 1j angle(F)))).
inline constexpr Pair kSaliency[] = {{0, 0.0299835986295239},   {5, 0.206013946057401},  {31, 0.0107497259686051},
                                     {56, 0.00789933477475177}, {57, 0.906753334617527}, {58, 0.17373436601255},
                                     {63, 0.0103374893653136}};

}  // namespace freshet::reference
