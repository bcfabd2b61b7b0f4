#include "engine/serve/metrics_text.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/base/env.h"
#include "engine/metrics/metrics.h"

namespace freshet {
namespace {

/// A line "NAME:   123 kB" of /proc/self/status, in bytes.
int64_t StatusField(std::string_view name) {
  const Result<std::string> text = Env::Posix()->ReadFile("/proc/self/status");
  if (!text.ok()) return 0;
  const size_t at = text->find(name);
  return at == std::string::npos ? 0 : std::strtoll(text->c_str() + at + name.size(), nullptr, 10) * 1024;
}

struct NodeCounterMetric {
  const char* name;
  const char* help;
  int64_t NodeCounters::*field;
};
constexpr NodeCounterMetric kNodeCounters[] = {
    {"freshet_rows_in_total", "Rows that came into a node; records read, for a source.", &NodeCounters::in},
    {"freshet_rows_out_total", "Rows on a node's main output.", &NodeCounters::out},
    {"freshet_rows_filtered_total", "Rows that a condition dropped.", &NodeCounters::filtered},
    {"freshet_rows_rejected_total", "Rows that failed a validation rule.", &NodeCounters::rejected},
    {"freshet_rows_late_total", "Rows that came after their time had been closed.", &NodeCounters::late},
    {"freshet_rows_dead_total", "Records that could not be used (dead letters).", &NodeCounters::dead},
    {"freshet_rows_skipped_total", "Records that were skipped as the pipeline asks.", &NodeCounters::skipped},
    {"freshet_rows_absorbed_total", "Rows taken into state.", &NodeCounters::absorbed},
    {"freshet_panes_opened_total", "Windows opened, per key.", &NodeCounters::panes_opened},
    {"freshet_panes_emitted_total", "Windows emitted, per key.", &NodeCounters::panes_emitted},
    {"freshet_values_nulled_total", "Values that became null: overflow, a counter that fell.", &NodeCounters::nulled},
};

void AddNode(const PipelineView& view, const NodeReport& node, int64_t now_wall_us, MetricRegistry& registry) {
  const MetricLabels labels = {{"pipeline", view.name}, {"node", node.id}};
  for (const NodeCounterMetric& m : kNodeCounters) {
    const int64_t value = node.counters.*m.field;
    const bool always = m.field == &NodeCounters::in || m.field == &NodeCounters::out;
    if (always || value != 0) registry.GetCounter(m.name, m.help, labels)->Publish(value);
  }
  const auto gauge = [&](const char* name, const char* help, double value) {
    registry.GetGauge(name, help, labels)->Set(value);
  };
  gauge("freshet_rows_held", "Rows waiting inside a node now.", static_cast<double>(node.counters.held));
  gauge("freshet_panes_open", "Windows open now, per key.", static_cast<double>(node.counters.panes_open));
  gauge("freshet_queue_messages", "Messages waiting in front of a node.", static_cast<double>(node.queued));
  gauge("freshet_state_bytes", "Bytes of a node's state in memory.", static_cast<double>(node.state_bytes));
  registry.GetCounter("freshet_backpressured_total", "Times a node had to wait for room behind it.", labels)
      ->Publish(node.blocked_count);
  if (node.watermark == EventTime::Min() || node.watermark == EventTime::Max()) return;
  gauge("freshet_watermark_timestamp_seconds", "Event time up to which a node is complete.",
        static_cast<double>(node.watermark.us) / 1e6);
  gauge("freshet_watermark_lag_seconds", "How far that is behind the clock.",
        static_cast<double>(now_wall_us - node.watermark.us) / 1e6);
}

void AddPipeline(const PipelineView& view, int64_t now_wall_us, MetricRegistry& registry) {
  const MetricLabels labels = {{"pipeline", view.name}};
  const JobReport& report = view.report;
  const auto gauge = [&](const char* name, const char* help, double value) {
    registry.GetGauge(name, help, labels)->Set(value);
  };
  gauge("freshet_up", "1 while the pipeline runs.", view.phase == PipelinePhase::kRunning ? 1 : 0);
  gauge("freshet_failed", "1 when the pipeline has failed.", view.phase == PipelinePhase::kFailed ? 1 : 0);
  registry.GetCounter("freshet_checkpoints_total", "Checkpoints committed by this process.", labels)
      ->Publish(report.checkpoint_count);
  registry.GetCounter("freshet_checkpoints_skipped_total", "Checkpoints put off because the store was busy.", labels)
      ->Publish(report.checkpoint_skipped_count);
  gauge("freshet_checkpoint_epoch", "Number of the last checkpoint.", static_cast<double>(report.committed.number));
  if (report.checkpoint_last_wall_us != 0) {
    gauge("freshet_checkpoint_duration_seconds", "The last checkpoint, from barrier to durable.",
          static_cast<double>(report.checkpoint_last_us) / 1e6);
    gauge("freshet_checkpoint_age_seconds", "Time since the last checkpoint became durable.",
          static_cast<double>(now_wall_us - report.checkpoint_last_wall_us) / 1e6);
    gauge("freshet_checkpoint_rows", "Keys written by the last checkpoint.",
          static_cast<double>(report.checkpoint_last_rows));
  }
  if (report.progress) gauge("freshet_input_progress_ratio", "Share of bounded input read.", *report.progress);
  for (const NodeReport& node : report.nodes) AddNode(view, node, now_wall_us, registry);
}

}  // namespace

int64_t ResidentBytes() { return StatusField("VmRSS:"); }
int64_t PeakResidentBytes() { return StatusField("VmHWM:"); }

std::string RenderMetrics(const std::vector<PipelineView>& views, int64_t now_wall_us) {
  MetricRegistry registry;
  registry.GetGauge("freshet_build_info", "Always 1; the version is in the label.", {{"version", FRESHET_VERSION}})
      ->Set(1);
  registry.GetGauge("process_resident_memory_bytes", "Bytes of this process in memory.")
      ->Set(static_cast<double>(ResidentBytes()));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    registry.GetGauge("process_cpu_seconds", "CPU time used, user and system.")
        ->Set(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  for (const PipelineView& view : views) AddPipeline(view, now_wall_us, registry);
  return registry.RenderPrometheus();
}

}  // namespace freshet
