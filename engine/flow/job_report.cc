// What a job tells about itself.
#include <algorithm>
#include <map>

#include "engine/flow/job.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/state_fit.h"

namespace freshet {

JobReport Job::Report() const {
  JobReport report;
  {
    const std::lock_guard lock(mutex_);
    report = totals_;
    report.committed = committed_;
    report.restored = environment_.restored;
    report.status = failure_;
  }
  report.paused = paused_;
  report.finished = finished_;
  report.memory_limit = memory_.limit();
  report.memory_used = memory_.used();
  report.memory_peak = memory_.peak();
  report.memory_dropped_bytes = memory_.dropped();
  if (environment_.spill != nullptr) report.memory_spilled_bytes = environment_.spill->written_bytes();
  report.checkpoints = checkpoints_;
  const int64_t now_us = options_.env->SteadyMicros();
  report.running_us = now_us - made_us_;
  std::map<int, size_t> at;
  for (size_t n = 0; n < spec_.nodes.size(); ++n) {
    NodeReport node;
    node.id = spec_.nodes[n].id;
    node.type = spec_.nodes[n].type;
    node.node_class = ClassOf(static_cast<int>(n));
    node.watermark = EventTime::Max();
    report.nodes.push_back(std::move(node));
  }
  for (const auto& cell : cells_) {
    const Cell::Published published = cell->published();
    for (const auto& [n, counters] : published.counters)
      AddCounters(&report.nodes[static_cast<size_t>(n)].counters, counters);
    for (const auto& [n, rows] : published.pre_aggregated) report.nodes[static_cast<size_t>(n)].pre_aggregated += rows;
    const std::vector<Activity> activity = cell->activity();
    for (size_t element = 0; element < cell->plan().nodes.size(); ++element) {
      const int n = cell->plan().nodes[element];
      NodeReport& node = report.nodes[static_cast<size_t>(n)];
      node.activity.push_back(activity[element]);
      EventTime watermark = published.watermark;
      if (const auto* source = dynamic_cast<const SourceCell*>(cell.get())) watermark = source->watermark();
      node.watermark = std::min(node.watermark, watermark);
      if (const auto* sink = dynamic_cast<const SinkCell*>(cell.get()); sink != nullptr && sink->outbox() != nullptr)
        node.delivery = sink->outbox()->counts();
      if (n != cell->plan().nodes[0]) continue;
      node.queued += published.queued;
      node.blocked_count += published.blocked_count;
      node.state_bytes += published.state_bytes;
      node.state_keys += published.state_keys;
      if (!published.waiting_for.empty()) node.waiting_for = published.waiting_for;
    }
  }
  for (const auto& driver : drivers_) {
    NodeReport& node = report.nodes[static_cast<size_t>(driver->cell().plan().nodes[0])];
    node.activity.push_back(driver->read_meter().Read(now_us));
    node.activity.push_back(driver->decode_meter().Read(now_us));
    node.activity.back().worker_count = std::max(1, options_.decoder_count);
  }
  for (NodeReport& node : report.nodes) node.law = CheckConservation(node.node_class, node.counters);
  double progress = 0;
  bool known = !drivers_.empty();
  for (const auto& driver : drivers_) {
    const std::optional<double> p = driver->progress();
    known = known && p.has_value();
    progress += p.value_or(0) / static_cast<double>(drivers_.size());
  }
  if (known) report.progress = progress;
  report.quiet_us = INT64_MAX;
  for (const auto& driver : drivers_)
    if (!driver->done()) report.quiet_us = std::min(report.quiet_us, driver->quiet_us());
  return report;
}

void AddLateReport(const Job& job, JobReport* report) {
  for (const auto& cell : job.cells()) {
    const NodeSpec& node = job.spec().nodes[static_cast<size_t>(cell->plan().nodes[0])];
    if (const auto* operators = dynamic_cast<const OperatorCell*>(cell.get());
        operators != nullptr && !operators->late_samples().empty())
      report->late_samples.emplace_back(node.id, operators->late_samples());
    const auto* source = dynamic_cast<const SourceCell*>(cell.get());
    if (source == nullptr) continue;
    if (source->time_stage().too_late()) report->warnings.push_back(source->LateWarning());
  }
}

std::vector<NodeFit> Job::CheckFit(const GraphSpec& spec) const {
  if (environment_.store == nullptr) return {};
  Manifest manifest;
  {
    const std::lock_guard lock(mutex_);
    manifest.epoch = committed_;
  }
  // What the checkpoint at the end of this run will hold, which may be more than the last one did.
  manifest.tables = tables_.tables();
  return CheckStateFit(spec, manifest, options_.env, environment_.store);
}

}  // namespace freshet
