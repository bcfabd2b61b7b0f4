#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "engine/flow/job.h"

namespace freshet {

/// Which node feeds which: ("edits", "per_minute"), ("edits.dead_letter", "bad").
using NodeEdges = std::vector<std::pair<std::string, std::string>>;

/// What a node did over a stretch of time. The three shares are of its busiest worker (lane, decoder, thread) and add
/// up to 1: one hot lane makes a hot node. Idle is the rest: no input, or no core free.
struct NodeLoad {
  double busy = 0;
  double backpressured = 0;  ///< it could have gone on had there been room behind it
  double idle = 1;
  double rows_in_per_second = 0;
  double rows_out_per_second = 0;
  double bytes_in_per_second = 0;
  double bytes_out_per_second = 0;
  /// The share of its time that it waited for room, however busy another of its workers was.
  double waiting = 0;
};

struct PipelineLoad {
  int64_t window_us = 0;  ///< over how long; 0: nothing was measured yet
  std::vector<NodeLoad> nodes;
  int bottleneck = -1;  ///< index of the node that limits the rate; -1: the input does, or nothing
};

/// What happened between two reports of one run, `before` being empty for all of it (then without rates, because
/// restored counters begin above 0).
///
/// The bottleneck is the busiest of the nodes that something before them waits for: rows pile up in front of it while
/// sources have no credit or an operator has no room. A sink with a thread of its own is busy while it writes. When
/// nothing waits, a source that is busy nine tenths of the time is the bottleneck itself; else there is none.
PipelineLoad MeasureLoad(const JobReport& before, const JobReport& after, const NodeEdges& edges);

/// Remembers the last few seconds of a run. One thread at a time.
class LoadWindow {
 public:
  /// A report to compare later ones with; call as often as is handy.
  void Add(const JobReport& report);
  /// The load over the window that ends at `report`.
  PipelineLoad Measure(const JobReport& report, const NodeEdges& edges) const;

 private:
  std::deque<JobReport> reports_;
};

/// Index of the node that an output's name ("edits", "edits.late") belongs to, or -1.
int FindOwner(const JobReport& report, const std::string& output);

}  // namespace freshet
