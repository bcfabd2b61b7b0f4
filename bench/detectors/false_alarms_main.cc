// How often the detectors cry where nothing is wrong: pure noise of six kinds, p-values as they are reported.
//
//   false_alarms_bench [ROWS [METHOD…]]     default: 1,000,000 rows, all methods
//
// For p = 1e-2, 1e-3, 1e-4: the rate of rows below p in units of p (1 is honest), with its binomial 95 % interval
// (Wilson); then the Kolmogorov–Smirnov distance of the p-values to uniform. A star marks a rate beyond a factor of 2
// and a distance beyond .02.

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "bench/detectors/false_alarms.h"

#ifndef FRESHET_BENCH_FLAGS
#define FRESHET_BENCH_FLAGS "by hand"
#endif

namespace freshet::bench {
namespace {

void PrintRate(const FalseAlarms& found, size_t i) {
  const double asked = kAsked[i], n = static_cast<double>(found.rows), rate = found.rate(i);
  constexpr double kZ = 1.96;
  const double middle = (rate + kZ * kZ / 2 / n) / (1 + kZ * kZ / n);
  const double half = kZ * std::sqrt(rate * (1 - rate) / n + kZ * kZ / 4 / n / n) / (1 + kZ * kZ / n);
  const double times = rate / asked;
  std::printf("  %5.2f%s [%.2f %.2f]", times, times > 2 || times < 0.5 ? "*" : " ", (middle - half) / asked,
              (middle + half) / asked);
}

int Main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  std::printf("flags: %s; %lld rows, seed 1\n", FRESHET_BENCH_FLAGS, static_cast<long long>(rows));
  std::printf("method          noise          1e-2               1e-3               1e-4               distance\n");
  for (const Method& method : Methods()) {
    bool wanted = argc <= 2;
    for (int a = 2; a < argc; ++a) wanted |= method.name == argv[a];
    if (!wanted) continue;
    for (const Noise noise : kNoises) {
      const FalseAlarms found = MeasureFalseAlarms(method, noise, rows, 1);
      std::printf("%-15s %-12s", method.name.c_str(), NoiseName(noise));
      for (size_t i = 0; i < kAsked.size(); ++i) PrintRate(found, i);
      std::printf("  %.4f%s\n", found.distance, found.distance > 0.02 ? "*" : "");
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) { return freshet::bench::Main(argc, argv); }
