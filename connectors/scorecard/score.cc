#include "connectors/scorecard/score.h"

#include <algorithm>
#include <cstdio>

#include "engine/base/rng.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

bool Agree(const std::string& a, const std::string& b) { return a.empty() || b.empty() || a == b; }

/// An alert that knows none of the plant's names says nothing about it.
bool KnowsOne(const PlantedAnomaly& p, const FoundAlert& a) {
  const auto both = [](const std::string& x, const std::string& y) { return !x.empty() && !y.empty(); };
  return both(p.channel, a.channel) || both(p.video, a.video) || both(p.edge, a.edge) || both(p.country, a.country) ||
         both(p.device, a.device);
}

bool Meets(const PlantedAnomaly& p, const FoundAlert& a, int64_t grace_us) {
  return KnowsOne(p, a) && a.started_us >= p.start_us && a.started_us <= p.end_us + grace_us &&
         Agree(p.channel, a.channel) && Agree(p.video, a.video) && Agree(p.edge, a.edge) &&
         Agree(p.country, a.country) && Agree(p.device, a.device);
}

int64_t Median(std::vector<int64_t> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace

Scorecard Score(const std::vector<PlantedAnomaly>& planted, const std::vector<FoundAlert>& found, int64_t grace_us) {
  Scorecard card;
  std::vector<bool> right(found.size());
  std::vector<int64_t> delays;
  for (const PlantedAnomaly& p : planted) {
    auto kind = std::find_if(card.kinds.begin(), card.kinds.end(), [&](const auto& k) { return k.kind == p.kind; });
    if (kind == card.kinds.end()) {
      card.kinds.push_back({p.kind, 0, 0, {}});
      kind = card.kinds.end() - 1;
    }
    ++kind->planted;
    ++card.planted;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < found.size(); ++i) {
      if (!Meets(p, found[i], grace_us)) continue;
      right[i] = true;
      first = std::min(first, found[i].fired_us);
    }
    if (first == INT64_MAX) continue;
    ++kind->found;
    ++card.found;
    kind->delays_us.push_back(first - p.start_us);
    delays.push_back(first - p.start_us);
  }
  card.alerts = static_cast<int>(found.size());
  card.right_alerts = static_cast<int>(std::count(right.begin(), right.end(), true));
  card.median_delay_us = static_cast<double>(Median(delays));
  std::sort(card.kinds.begin(), card.kinds.end(), [](const auto& a, const auto& b) { return a.kind < b.kind; });
  return card;
}

std::vector<PlantedAnomaly> ShuffledTruth(const std::vector<PlantedAnomaly>& planted, uint64_t seed) {
  // Sattolo's cycle (1986): a shuffle without fixed points, which in a short list would look like luck.
  std::vector<PlantedAnomaly> out = planted;
  Rng rng(seed);
  for (size_t i = out.size(); i > 1; --i) {
    const size_t j = rng.Below(i - 1);
    PlantedAnomaly& a = out[i - 1];
    PlantedAnomaly& b = out[j];
    std::swap(a.channel, b.channel);
    std::swap(a.video, b.video);
    std::swap(a.edge, b.edge);
    std::swap(a.country, b.country);
    std::swap(a.device, b.device);
  }
  return out;
}

std::string ScoreText(const Scorecard& score, const Scorecard& chance) {
  char line[256];
  std::snprintf(line, sizeof line,
                "planted %d, found %d: recall %.0f%% (by chance %.0f%%); alerts %d, right %d: precision %.0f%% (by "
                "chance %.0f%%); median delay %s",
                score.planted, score.found, 100 * score.recall(), 100 * chance.recall(), score.alerts,
                score.right_alerts, 100 * score.precision(), 100 * chance.precision(),
                score.found == 0
                    ? "-"
                    : FormatDuration({static_cast<int64_t>(score.median_delay_us) / 1000000 * 1000000}).c_str());
  std::string out = line;
  for (const Scorecard::Kind& kind : score.kinds) {
    std::snprintf(line, sizeof line, "\n  %-20s %2d of %2d found, median delay %s", kind.kind.c_str(), kind.found,
                  kind.planted,
                  kind.delays_us.empty() ? "-" : FormatDuration({Median(kind.delays_us) / 1000000 * 1000000}).c_str());
    out += line;
  }
  return out;
}

}  // namespace freshet
