#include "engine/serve/pipeline_load.h"

#include <algorithm>

namespace freshet {
namespace {

constexpr int64_t kSampleEveryUs = 1000000;
constexpr size_t kSampleCount = 6;
/// A shorter stretch says little: one chunk more or less decides.
constexpr int64_t kShortestUs = 500000;
/// From this share on a node counts as waiting for room.
constexpr double kWaitingMin = 0.1;
/// A node that is busier than this may be called the bottleneck.
constexpr double kBusyMin = 0.2;
constexpr double kSourceBusyMin = 0.9;

double Share(int64_t part_us, double whole_us) {
  return std::clamp(static_cast<double>(part_us) / std::max(1.0, whole_us), 0.0, 1.0);
}

NodeLoad MeasureNode(const NodeReport* before, const NodeReport& after, int64_t window_us) {
  NodeLoad load;
  const auto window = static_cast<double>(window_us);
  const bool same = before != nullptr && before->activity.size() == after.activity.size();
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  for (size_t i = 0; i < after.activity.size(); ++i) {
    const Activity& a = after.activity[i];
    const Activity b = same ? before->activity[i] : Activity();
    load.busy = std::max(load.busy, Share(a.busy_us - b.busy_us, window * a.worker_count));
    load.waiting = std::max(load.waiting, Share(a.blocked_us - b.blocked_us, window));
    bytes_in += a.bytes_in - b.bytes_in;
    bytes_out += a.bytes_out - b.bytes_out;
  }
  load.backpressured = std::min(load.waiting, 1 - load.busy);
  load.idle = std::max(0.0, 1 - load.busy - load.backpressured);
  if (!same) return load;
  const double seconds = window / 1e6;
  load.rows_in_per_second = static_cast<double>(after.counters.in - before->counters.in) / seconds;
  load.rows_out_per_second = static_cast<double>(after.counters.out - before->counters.out) / seconds;
  load.bytes_in_per_second = static_cast<double>(bytes_in) / seconds;
  load.bytes_out_per_second = static_cast<double>(bytes_out) / seconds;
  return load;
}

/// Nodes that something at or before them waits for: a source itself, or any node further up.
std::vector<bool> FindPressed(const JobReport& report, const PipelineLoad& load, const NodeEdges& edges) {
  std::vector<bool> pressed(report.nodes.size());
  std::vector<std::pair<int, int>> links;
  for (const auto& [from, to] : edges) links.emplace_back(FindOwner(report, from), FindOwner(report, to));
  for (size_t n = 0; n < report.nodes.size(); ++n) {
    pressed[n] = report.nodes[n].node_class == NodeClass::kSource && load.nodes[n].waiting >= kWaitingMin;
    // The files of dead letters that nobody reads are no edges of the pipeline's text.
    if (report.nodes[n].type == "dead_letter_file")
      links.emplace_back(FindOwner(report, report.nodes[n].id.substr(0, report.nodes[n].id.rfind('.'))), n);
  }
  // No cycles, so as many rounds as there are nodes are enough.
  for (size_t round = 0; round < report.nodes.size(); ++round)
    for (const auto& [from, to] : links)
      if (from >= 0 && to >= 0 &&
          (pressed[static_cast<size_t>(from)] || load.nodes[static_cast<size_t>(from)].waiting >= kWaitingMin))
        pressed[static_cast<size_t>(to)] = true;
  return pressed;
}

int FindBottleneck(const JobReport& report, const PipelineLoad& load, const NodeEdges& edges) {
  const std::vector<bool> pressed = FindPressed(report, load, edges);
  int slowest = -1;
  for (size_t n = 0; n < load.nodes.size(); ++n) {
    const bool full = report.nodes[n].node_class == NodeClass::kSource && load.nodes[n].busy >= kSourceBusyMin;
    if (!(pressed[n] && load.nodes[n].busy >= kBusyMin) && !full) continue;
    if (slowest < 0 || load.nodes[n].busy > load.nodes[static_cast<size_t>(slowest)].busy)
      slowest = static_cast<int>(n);
  }
  return slowest;
}

}  // namespace

int FindOwner(const JobReport& report, const std::string& output) {
  int owner = -1;
  for (size_t n = 0; n < report.nodes.size(); ++n) {
    const std::string& id = report.nodes[n].id;
    if (id == output) return static_cast<int>(n);
    if (output.size() > id.size() && output.starts_with(id) && output[id.size()] == '.') owner = static_cast<int>(n);
  }
  return owner;
}

PipelineLoad MeasureLoad(const JobReport& before, const JobReport& after, const NodeEdges& edges) {
  PipelineLoad load;
  load.window_us = std::max<int64_t>(1, after.running_us - before.running_us);
  const bool same = before.nodes.size() == after.nodes.size();
  for (size_t n = 0; n < after.nodes.size(); ++n)
    load.nodes.push_back(MeasureNode(same ? &before.nodes[n] : nullptr, after.nodes[n], load.window_us));
  load.bottleneck = FindBottleneck(after, load, edges);
  return load;
}

void LoadWindow::Add(const JobReport& report) {
  if (!reports_.empty() && report.running_us < reports_.back().running_us) reports_.clear();  // another run
  if (!reports_.empty() && report.running_us - reports_.back().running_us < kSampleEveryUs) return;
  reports_.push_back(report);
  if (reports_.size() > kSampleCount) reports_.pop_front();
}

PipelineLoad LoadWindow::Measure(const JobReport& report, const NodeEdges& edges) const {
  for (const JobReport& before : reports_)
    if (report.running_us - before.running_us >= kShortestUs) return MeasureLoad(before, report, edges);
  PipelineLoad load = MeasureLoad(JobReport(), report, edges);
  if (report.running_us < kShortestUs) load.bottleneck = -1;
  return load;
}

}  // namespace freshet
