#include <cmath>
#include <limits>

#include "engine/expr/row_kernel.h"

namespace freshet::expr_internal {
namespace {

/// A result that is no number though the argument was one: outside the function's domain.
Outcome Checked(double x, double& out, double value) {
  out = value;
  return std::isnan(value) && !std::isnan(x) ? Outcome::kFailed : Outcome::kValue;
}
/// Logarithms: minus infinity at the pole counts as outside too.
Outcome CheckedLog(double x, double& out, double value) {
  if (std::isinf(value) && value < 0) return Outcome::kFailed;
  return Checked(x, out, value);
}

Outcome AbsInt(RowState&, int64_t& out, int64_t x) {
  if (x == std::numeric_limits<int64_t>::min()) return Outcome::kFailed;
  out = x < 0 ? -x : x;
  return Outcome::kValue;
}
Outcome AbsFloat(RowState&, double& out, double x) { return out = std::fabs(x), Outcome::kValue; }
Outcome SameInt(RowState&, int64_t& out, int64_t x) { return out = x, Outcome::kValue; }
Outcome SignInt(RowState&, int64_t& out, int64_t x) { return out = (x > 0) - (x < 0), Outcome::kValue; }
Outcome SignFloat(RowState&, double& out, double x) {
  return out = std::isnan(x) ? x : (x > 0) - (x < 0), Outcome::kValue;
}
Outcome Round(RowState&, double& out, double x) { return out = std::round(x), Outcome::kValue; }
Outcome Floor(RowState&, double& out, double x) { return out = std::floor(x), Outcome::kValue; }
Outcome Ceil(RowState&, double& out, double x) { return out = std::ceil(x), Outcome::kValue; }
Outcome Trunc(RowState&, double& out, double x) { return out = std::trunc(x), Outcome::kValue; }

constexpr int64_t kPowersOfTen[] = {1,
                                    10,
                                    100,
                                    1000,
                                    10000,
                                    100000,
                                    1000000,
                                    10000000,
                                    100000000,
                                    1000000000,
                                    10000000000,
                                    100000000000,
                                    1000000000000,
                                    10000000000000,
                                    100000000000000,
                                    1000000000000000,
                                    10000000000000000,
                                    100000000000000000,
                                    1000000000000000000};

Outcome RoundDigits(RowState&, double& out, double x, int64_t digits) {
  out = x;
  if (digits > 18 || !std::isfinite(x)) return Outcome::kValue;
  if (digits < -18) return out = 0, Outcome::kValue;
  const double scale = static_cast<double>(kPowersOfTen[digits < 0 ? -digits : digits]);
  const double scaled = digits < 0 ? x / scale : x * scale;
  // Beyond 2^52 every double is whole: there is nothing to round.
  if (std::fabs(scaled) < 4503599627370496.0)
    out = digits < 0 ? std::round(scaled) * scale : std::round(scaled) / scale;
  return Outcome::kValue;
}

Outcome RoundIntDigits(RowState&, int64_t& out, int64_t x, int64_t digits) {
  out = x;
  if (digits >= 0) return Outcome::kValue;
  if (digits < -18) return out = 0, Outcome::kValue;
  const int64_t scale = kPowersOfTen[-digits];
  const int64_t rest = x % scale;
  out = x - rest;
  if (2 * static_cast<__int128>(rest < 0 ? -rest : rest) < scale) return Outcome::kValue;
  return __builtin_add_overflow(out, x < 0 ? -scale : scale, &out) ? Outcome::kFailed : Outcome::kValue;
}

Outcome Sqrt(RowState&, double& out, double x) { return Checked(x, out, std::sqrt(x)); }
Outcome Cbrt(RowState&, double& out, double x) { return Checked(x, out, std::cbrt(x)); }
Outcome Exp(RowState&, double& out, double x) { return Checked(x, out, std::exp(x)); }
Outcome Expm1(RowState&, double& out, double x) { return Checked(x, out, std::expm1(x)); }
Outcome Ln(RowState&, double& out, double x) { return CheckedLog(x, out, std::log(x)); }
Outcome Log10(RowState&, double& out, double x) { return CheckedLog(x, out, std::log10(x)); }
Outcome Log2(RowState&, double& out, double x) { return CheckedLog(x, out, std::log2(x)); }
Outcome Log1p(RowState&, double& out, double x) { return CheckedLog(x, out, std::log1p(x)); }
Outcome Sin(RowState&, double& out, double x) { return Checked(x, out, std::sin(x)); }
Outcome Cos(RowState&, double& out, double x) { return Checked(x, out, std::cos(x)); }
Outcome Tan(RowState&, double& out, double x) { return Checked(x, out, std::tan(x)); }
Outcome Asin(RowState&, double& out, double x) { return Checked(x, out, std::asin(x)); }
Outcome Acos(RowState&, double& out, double x) { return Checked(x, out, std::acos(x)); }
Outcome Atan(RowState&, double& out, double x) { return Checked(x, out, std::atan(x)); }
Outcome Atan2(RowState&, double& out, double y, double x) { return out = std::atan2(y, x), Outcome::kValue; }

Outcome LogBase(RowState&, double& out, double base, double x) {
  if (base <= 0 || base == 1 || x <= 0) return Outcome::kFailed;
  return Checked(base + x, out, std::log(x) / std::log(base));
}

Outcome Pow(RowState&, double& out, double x, double y) {
  if (x == 0 && y < 0) return Outcome::kFailed;
  return Checked(x + y, out, std::pow(x, y));
}

Outcome ModInt(RowState&, int64_t& out, int64_t x, int64_t y) {
  if (y == 0) return Outcome::kFailed;
  out = y == -1 ? 0 : x % y;
  return Outcome::kValue;
}
Outcome ModFloat(RowState&, double& out, double x, double y) {
  if (y == 0) return Outcome::kFailed;
  out = std::fmod(x, y);
  return Outcome::kValue;
}

Outcome IsNan(RowState&, bool& out, double x) { return out = std::isnan(x), Outcome::kValue; }
Outcome IsFinite(RowState&, bool& out, double x) { return out = std::isfinite(x), Outcome::kValue; }

constexpr Kind kInt = Kind::kInt64;
constexpr Kind kFloat = Kind::kFloat64;

constexpr Function kFunctions[] = {
    {"abs", "i", kInt, &RowKernel<AbsInt>::Run, nullptr, "abs(int64) -> int64", "the absolute value"},
    {"abs", "f", kFloat, &RowKernel<AbsFloat>::Run, nullptr, "abs(float64) -> float64", "the absolute value"},
    {"sign", "i", kInt, &RowKernel<SignInt>::Run, nullptr, "sign(int64) -> int64", "-1, 0 or 1"},
    {"sign", "f", kFloat, &RowKernel<SignFloat>::Run, nullptr, "sign(float64) -> float64", "-1, 0 or 1; NaN stays NaN"},
    {"round", "i", kInt, &RowKernel<SameInt>::Run, nullptr, "round(int64) -> int64", "the number itself"},
    {"round", "f", kFloat, &RowKernel<Round>::Run, nullptr, "round(float64) -> float64",
     "to the nearest whole number, halves away from zero"},
    {"round", "ii", kInt, &RowKernel<RoundIntDigits>::Run, nullptr, "round(int64, digits) -> int64",
     "with negative digits to tens, hundreds, …"},
    {"round", "fi", kFloat, &RowKernel<RoundDigits>::Run, nullptr, "round(float64, digits) -> float64",
     "to that many decimals, halves away from zero"},
    {"floor", "i", kInt, &RowKernel<SameInt>::Run, nullptr, "floor(int64) -> int64", "the number itself"},
    {"floor", "f", kFloat, &RowKernel<Floor>::Run, nullptr, "floor(float64) -> float64", "the next whole number below"},
    {"ceil", "i", kInt, &RowKernel<SameInt>::Run, nullptr, "ceil(int64) -> int64", "the number itself"},
    {"ceil", "f", kFloat, &RowKernel<Ceil>::Run, nullptr, "ceil(float64) -> float64", "the next whole number above"},
    {"trunc", "i", kInt, &RowKernel<SameInt>::Run, nullptr, "trunc(int64) -> int64", "the number itself"},
    {"trunc", "f", kFloat, &RowKernel<Trunc>::Run, nullptr, "trunc(float64) -> float64", "without its fraction"},
    {"sqrt", "f", kFloat, &RowKernel<Sqrt>::Run, nullptr, "sqrt(float64) -> float64",
     "the square root; null below zero"},
    {"cbrt", "f", kFloat, &RowKernel<Cbrt>::Run, nullptr, "cbrt(float64) -> float64", "the cube root"},
    {"pow", "ff", kFloat, &RowKernel<Pow>::Run, nullptr, "pow(float64, float64) -> float64",
     "x to the power y; null where that is not a real number"},
    {"exp", "f", kFloat, &RowKernel<Exp>::Run, nullptr, "exp(float64) -> float64", "e to the power x"},
    {"expm1", "f", kFloat, &RowKernel<Expm1>::Run, nullptr, "expm1(float64) -> float64", "exp(x) - 1, exact near zero"},
    {"ln", "f", kFloat, &RowKernel<Ln>::Run, nullptr, "ln(float64) -> float64",
     "the natural logarithm; null at and below zero"},
    {"log", "f", kFloat, &RowKernel<Log10>::Run, nullptr, "log(float64) -> float64",
     "the logarithm to base 10, as log10; the natural one is ln"},
    {"log", "ff", kFloat, &RowKernel<LogBase>::Run, nullptr, "log(base, float64) -> float64",
     "the logarithm to a base"},
    {"log10", "f", kFloat, &RowKernel<Log10>::Run, nullptr, "log10(float64) -> float64",
     "the logarithm to base 10; null at and below zero"},
    {"log2", "f", kFloat, &RowKernel<Log2>::Run, nullptr, "log2(float64) -> float64",
     "the logarithm to base 2; null at and below zero"},
    {"log1p", "f", kFloat, &RowKernel<Log1p>::Run, nullptr, "log1p(float64) -> float64",
     "ln(1 + x), exact near zero; null at and below -1"},
    {"mod", "ii", kInt, &RowKernel<ModInt>::Run, nullptr, "mod(int64, int64) -> int64",
     "the rest of the division, with the sign of the first; null by zero"},
    {"mod", "ff", kFloat, &RowKernel<ModFloat>::Run, nullptr, "mod(float64, float64) -> float64",
     "the rest of the division, with the sign of the first; null by zero"},
    {"sin", "f", kFloat, &RowKernel<Sin>::Run, nullptr, "sin(float64) -> float64", "the sine of an angle in radians"},
    {"cos", "f", kFloat, &RowKernel<Cos>::Run, nullptr, "cos(float64) -> float64", "the cosine of an angle in radians"},
    {"tan", "f", kFloat, &RowKernel<Tan>::Run, nullptr, "tan(float64) -> float64",
     "the tangent of an angle in radians"},
    {"asin", "f", kFloat, &RowKernel<Asin>::Run, nullptr, "asin(float64) -> float64",
     "the arc sine; null outside -1 to 1"},
    {"acos", "f", kFloat, &RowKernel<Acos>::Run, nullptr, "acos(float64) -> float64",
     "the arc cosine; null outside -1 to 1"},
    {"atan", "f", kFloat, &RowKernel<Atan>::Run, nullptr, "atan(float64) -> float64", "the arc tangent"},
    {"atan2", "ff", kFloat, &RowKernel<Atan2>::Run, nullptr, "atan2(y, x) -> float64", "the angle of the point (x, y)"},
    {"isnan", "f", Kind::kBool, &RowKernel<IsNan>::Run, nullptr, "isnan(float64) -> bool",
     "whether it is not a number"},
    {"isfinite", "f", Kind::kBool, &RowKernel<IsFinite>::Run, nullptr, "isfinite(float64) -> bool",
     "whether it is neither NaN nor infinite"},
};

}  // namespace

std::span<const Function> MathFunctions() { return kFunctions; }

}  // namespace freshet::expr_internal
