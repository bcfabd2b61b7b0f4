#include <doctest/doctest.h>

#include "bench/detectors/false_alarms.h"

namespace freshet {
namespace {

// The short form of bench/detectors/false_alarms_main.cc. With so few rows the bounds are wider than a factor of 2
// where alarms come in clusters: at 1e-3, sixty are due, at 1e-4, six.
TEST_CASE("Detectors_OnPureNoiseOfSixKinds_AlarmAsOftenAsAsked") {
  constexpr int64_t kRows = 60'000;
  const uint64_t seed = 1;
  for (const bench::Method& method : bench::Methods()) {
    // Slower, and longer in warming up: see anomaly_test.cc, and the program.
    if (method.name.starts_with("anomaly") || method.name == "random_cut") continue;
    for (const bench::Noise noise : bench::kNoises) {
      const bench::FalseAlarms found = bench::MeasureFalseAlarms(method, noise, kRows, seed);
      const std::string what = method.name + " on " + bench::NoiseName(noise);
      INFO(what << ", seed " << seed << ": " << found.alarms[0] << ", " << found.alarms[1] << ", " << found.alarms[2]
                << " alarms in " << found.rows << " rows, distance " << found.distance);
      CHECK(found.rows > kRows - 2500);  // rows are minutes; `seasonal` wants a day and some hours
      CHECK(found.rate(0) > 0.5e-2);
      CHECK(found.rate(0) < 2e-2);
      CHECK(found.rate(1) > 0.4e-3);
      CHECK(found.rate(1) < 2.5e-3);
      CHECK(found.rate(2) < (noise == bench::Noise::kBursty ? 8e-4 : 4e-4));
      if (noise == bench::Noise::kGaussian && method.features == 1) CHECK(found.distance < 0.02);
    }
  }
}

}  // namespace
}  // namespace freshet
