#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/cli/run_session.h"

namespace freshet::cli {

/// Says how runs are going while they go: one line that is redrawn on a terminal, a log line every ten seconds
/// elsewhere. One thread, except for the log's hooks.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  /// Call often; draws at most four times a second.
  void Update(const std::vector<std::unique_ptr<RunSession>>& sessions);
  /// Removes the live line.
  void Clear();

 private:
  std::string Describe(const RunSession& session, int64_t now_us);

  const bool quiet_;
  const bool terminal_;
  int64_t last_us_ = 0;
  struct Sample {
    int64_t at_us = 0;
    int64_t records = 0;
    double rate = 0;
    int64_t first_us = 0;  ///< since then, and from this share on, the time left is reckoned
    double first_share = -1;
  };
  std::map<const RunSession*, Sample> samples_;
};

/// Takes the live line away and puts it back, around something else that is printed on the terminal. Any thread; a
/// pair.
void HideLiveLine();
void ShowLiveLine();

/// Makes the console sinks of a pipeline do so. Only where standard output and standard error are a terminal.
void KeepLiveLineApart(GraphSpec* spec);

/// "1:05", "2:03:04": for people.
std::string FormatClock(int64_t us);

}  // namespace freshet::cli
