#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace freshet {

/// Something that was planted. Empty names mean "any".
struct PlantedAnomaly {
  std::string kind;
  std::string channel, video, edge, country, device;
  int64_t start_us = 0;
  int64_t end_us = 0;
  double strength = 0;  ///< expected deviation in standard deviations; 0 unknown
};

/// An alert that fired. Empty names are unknown.
struct FoundAlert {
  std::string rule;
  std::string channel, video, edge, country, device;
  int64_t started_us = 0;  ///< when the episode began
  int64_t fired_us = 0;    ///< when it was told
};

struct Scorecard {
  struct Kind {
    std::string kind;
    int planted = 0;
    int found = 0;
    std::vector<int64_t> delays_us;  ///< plant's start to first alert, of the found ones
  };
  std::vector<Kind> kinds;
  int planted = 0;
  int found = 0;
  int alerts = 0;
  int right_alerts = 0;        ///< alerts that meet a plant
  double median_delay_us = 0;  ///< of the found plants; 0 if none was
  double precision() const { return alerts == 0 ? 0 : static_cast<double>(right_alerts) / alerts; }
  double recall() const { return planted == 0 ? 0 : static_cast<double>(found) / planted; }
};

/// An alert meets a plant when its episode began in [start, end + `grace_us`] they know at least one
/// name in common, and every name that both know is equal. Several
/// alerts may meet one plant, and one alert several plants.
Scorecard Score(const std::vector<PlantedAnomaly>& planted, const std::vector<FoundAlert>& found, int64_t grace_us);

/// The same with the plants' names dealt out anew (by `seed`), so that none keeps its own place in the list: what
/// chance finds. Times, lengths and kinds stay. One plant alone has nobody to swap with and stays as it is.
std::vector<PlantedAnomaly> ShuffledTruth(const std::vector<PlantedAnomaly>& planted, uint64_t seed);

/// Several lines for people.
std::string ScoreText(const Scorecard& score, const Scorecard& chance);

}  // namespace freshet
