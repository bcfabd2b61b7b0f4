// The Numenta Anomaly Benchmark: each file as a stream, no look-ahead, one setting for all, one threshold for all.
//   nab_bench [--files]      FRESHET_DATA_DIR/nab must hold the files and windows.json
#include <simdjson.h>
#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "bench/nab/nab_score.h"
#include "operators/anomaly/anomaly_model.h"

namespace freshet::bench {
namespace {

constexpr int kClockRows = 600;
constexpr double kWeekUs = 7.0 * 86400e6;

struct Published {
  const char* name;
  double standard, low_fp, low_fn;
};
/// Published per-row scores of these detectors, scored on the same 31 files.
constexpr Published kPublished[] = {
    {"ARTime", 78.2, 70.4, 83.1},
    {"CAD OSE", 74.1, 71.7, 76.9},
    {"Numenta HTM", 71.2, 65.0, 75.9},
    {"KNN CAD", 64.4, 50.4, 71.0},
    {"Relative Entropy", 56.3, 48.9, 60.9},
    {"Skyline (earthgecko)", 56.1, 45.1, 61.4},
    {"Random Cut Forest", 52.0, 38.3, 61.0},
    {"Twitter ADVec", 46.4, 33.2, 52.6},
    {"Etsy Skyline", 37.2, 30.8, 44.1},
    {"Windowed Gaussian", 36.7, 21.4, 45.2},
    {"Bayesian changepoint", 22.7, 13.0, 33.2},
};

int64_t ParseTime(const char* text) {
  std::tm tm{};
  if (std::sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                  &tm.tm_sec) != 6)
    return INT64_MIN;
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return static_cast<int64_t>(timegm(&tm)) * 1000000;
}

bool LoadFile(const std::string& path, NabSeries* series) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  char line[4096];
  gzgets(file, line, sizeof line);  // timestamp,value
  while (gzgets(file, line, sizeof line) != nullptr) {
    const char* comma = std::strchr(line, ',');
    if (comma == nullptr) continue;
    series->times_us.push_back(ParseTime(line));
    series->values.push_back(std::atof(comma + 1));
  }
  gzclose(file);
  return true;
}

int RowAt(const NabSeries& series, std::string_view time, bool last) {
  const int64_t us = ParseTime(std::string(time).c_str());
  int row = -1;
  for (int i = 0; i < series.rows(); ++i)
    if (series.times_us[static_cast<size_t>(i)] == us && (last || row < 0)) row = i;
  return row;
}

std::vector<NabSeries> LoadCorpus() {
  std::vector<NabSeries> corpus;
  const char* root = std::getenv("FRESHET_DATA_DIR");
  if (root == nullptr) return corpus;
  const std::string directory = std::string(root) + "/nab/";
  simdjson::dom::parser parser;
  simdjson::dom::object files;
  if (parser.load(directory + "windows.json").get(files) != simdjson::SUCCESS) return corpus;
  for (const auto& [name, windows] : files) {
    NabSeries series;
    series.name = name;
    if (!LoadFile(directory + series.name + ".gz", &series)) continue;
    for (simdjson::dom::array window : windows.get_array()) {
      const std::string_view from = window.at(0).get_string(), to = window.at(1).get_string();
      const NabSeries::Window rows{RowAt(series, from, false), RowAt(series, to, true)};
      if (rows.first < 0 || rows.last < 0) {
        std::fprintf(stderr, "%s: no row at a window's end\n", series.name.c_str());
        std::exit(1);
      }
      series.windows.push_back(rows);
    }
    corpus.push_back(std::move(series));
  }
  return corpus;
}

NabScores ClockScores(const std::vector<NabSeries>& corpus) {
  NabScores scores;
  for (const NabSeries& series : corpus) {
    scores.emplace_back(series.values.size());
    for (int row = 0; row < series.rows(); row += kClockRows) scores.back()[static_cast<size_t>(row)] = 1;
  }
  return scores;
}

NabScores FreshetScores(const std::vector<NabSeries>& corpus, size_t* memory_bytes) {
  NabScores scores;
  for (const NabSeries& series : corpus) {
    AnomalyModel model{AnomalyOptions()};
    scores.emplace_back();
    for (size_t i = 0; i < series.values.size(); ++i)
      scores.back().push_back(model.ScoreAndLearn({series.times_us[i]}, &series.values[i], nullptr).alarm_score);
    *memory_bytes = std::max(*memory_bytes, model.memory_bytes());
  }
  return scores;
}

void PrintRow(const char* name, const std::vector<NabSeries>& corpus, const NabScores& scores, double threshold) {
  int windows = 0;
  for (const NabSeries& series : corpus) windows += static_cast<int>(series.windows.size());
  std::printf("%-22s", name);
  for (const NabProfile& profile : kNabProfiles)
    std::printf(" %8.1f", NabNormalised(TallyCorpus(corpus, scores, threshold, profile).raw, windows, profile));
  std::printf("\n");
}

int Main(bool per_file) {
  const std::vector<NabSeries> corpus = LoadCorpus();
  if (corpus.empty()) {
    std::fprintf(stderr, "nab_bench: set FRESHET_DATA_DIR to the folder that holds nab/windows.json\n");
    return 3;
  }
  size_t memory_bytes = 0, rows = 0;
  double weeks = 0;
  int windows = 0;
  for (const NabSeries& series : corpus) {
    rows += series.values.size();
    windows += static_cast<int>(series.windows.size());
    weeks += static_cast<double>(series.times_us.back() - series.times_us.front()) / kWeekUs;
  }
  const auto started = std::chrono::steady_clock::now();
  const NabScores scores = FreshetScores(corpus, &memory_bytes);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double at_default = AlarmGateOptions().alarm_at;

  std::printf("%zu files, %zu rows, %d windows; %.0f rows/s, at most %zu KB a series\n\n", corpus.size(), rows, windows,
              static_cast<double>(rows) / seconds, memory_bytes / 1024);
  std::printf("%-22s %8s %8s %8s\n", "", "standard", "low FP", "low FN");
  PrintRow("anomaly, as it comes", corpus, scores, at_default);
  PrintRow("anomaly, one threshold", corpus, scores, BestThreshold(corpus, scores, kNabProfiles[0]));
  const NabScores clock = ClockScores(corpus);
  PrintRow("blind clock", corpus, clock, 1);
  for (const Published& p : kPublished)
    std::printf("%-22s %8.1f %8.1f %8.1f\n", p.name, p.standard, p.low_fp, p.low_fn);

  NabTally tally = TallyCorpus(corpus, scores, at_default, kNabProfiles[0]);
  std::sort(tally.delays_us.begin(), tally.delays_us.end());
  std::printf(
      "\nas it comes: %d of %d windows, %d false alarms: %.2f a week and series; median delay into a window %.1f h\n",
      tally.hits, windows, tally.false_alarms, tally.false_alarms / weeks,
      tally.delays_us.empty() ? 0.0 : static_cast<double>(tally.delays_us[tally.delays_us.size() / 2]) / 3600e6);
  if (!per_file) return 0;
  for (size_t i = 0; i < corpus.size(); ++i) {
    NabTally one;
    AddNabFile(corpus[i], scores[i], at_default, kNabProfiles[0], &one);
    std::printf("%-55s %d of %zu, false %d, %.2f\n", corpus[i].name.c_str(), one.hits, corpus[i].windows.size(),
                one.false_alarms, one.raw);
  }
  return 0;
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) { return freshet::bench::Main(argc > 1 && std::strcmp(argv[1], "--files") == 0); }
