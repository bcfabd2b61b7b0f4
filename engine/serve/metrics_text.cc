#include "engine/serve/metrics_text.h"

#include "engine/metrics/metrics.h"
#include "engine/serve/process_figures.h"

namespace freshet {
namespace {

constexpr unsigned Of(NodeClass c) { return 1U << static_cast<unsigned>(c); }
constexpr unsigned kAll = ~0U;
constexpr unsigned kSources = Of(NodeClass::kSource);
constexpr unsigned kRowWise = Of(NodeClass::kRowWise);
constexpr unsigned kStateful = Of(NodeClass::kStateful);
constexpr unsigned kExpanding = Of(NodeClass::kExpanding);

struct NodeCounterMetric {
  const char* name;
  const char* help;
  int64_t NodeCounters::*field;
  unsigned classes;  ///< shown for these, 0 or not, so that a rate exists from the start
};
constexpr NodeCounterMetric kNodeCounters[] = {
    {"freshet_rows_in_total", "Rows that came into a node; records read, for a source.", &NodeCounters::in, kAll},
    {"freshet_rows_out_total", "Rows on a node's main output.", &NodeCounters::out, kAll},
    {"freshet_rows_filtered_total", "Rows that a condition dropped.", &NodeCounters::filtered, kRowWise},
    {"freshet_rows_rejected_total", "Rows that failed a validation rule.", &NodeCounters::rejected, kRowWise},
    {"freshet_rows_late_total", "Rows that came after their time had been closed.", &NodeCounters::late,
     kRowWise | kStateful},
    {"freshet_rows_dead_total", "Records that could not be used (dead letters).", &NodeCounters::dead, kAll},
    {"freshet_rows_skipped_total", "Records that were skipped as the pipeline asks.", &NodeCounters::skipped, kSources},
    {"freshet_rows_dropped_total", "Of the skipped: records dropped by `on_overflow`.", &NodeCounters::dropped,
     kSources},
    {"freshet_rows_absorbed_total", "Rows taken into state.", &NodeCounters::absorbed, kStateful},
    {"freshet_rows_matched_total", "Rows that found a partner.", &NodeCounters::matched, kExpanding},
    {"freshet_rows_unmatched_total", "Rows that found none.", &NodeCounters::unmatched, kExpanding},
    {"freshet_late_panes_total", "Windows that a row was late for while it was on time for others.",
     &NodeCounters::late_panes, kStateful},
    {"freshet_panes_opened_total", "Windows opened, per key.", &NodeCounters::panes_opened, kStateful},
    {"freshet_panes_emitted_total", "Windows emitted, per key.", &NodeCounters::panes_emitted, kStateful},
    {"freshet_values_nulled_total", "Values that became null: overflow, a counter that fell.", &NodeCounters::nulled,
     kRowWise | kStateful},
};

/// Labels and the registry at hand, so that a metric is one line.
class Scope {
 public:
  Scope(MetricRegistry& registry, MetricLabels labels) : registry_(registry), labels_(std::move(labels)) {}
  void Count(const char* name, const char* help, int64_t value, double scale = 1) const {
    registry_.GetCounter(name, help, labels_, scale)->Publish(value);
  }
  void Set(const char* name, const char* help, double value) const {
    registry_.GetGauge(name, help, labels_)->Set(value);
  }
  void Seconds(const char* name, const char* help, int64_t us) const { Set(name, help, static_cast<double>(us) / 1e6); }
  void Show(const char* name, const char* help, const HistogramShape& shape,
            std::shared_ptr<const Histogram> histogram) const {
    registry_.PublishHistogram(name, help, labels_, shape, std::move(histogram));
  }

 private:
  MetricRegistry& registry_;
  const MetricLabels labels_;
};

void AddTime(const Scope& m, const NodeReport& node, const NodeLoad* load, int64_t running_us) {
  const Activity sum = SumActivity(node);
  m.Count("freshet_busy_seconds_total", "Time a node worked, over all its lanes.", sum.busy_us, 1e6);
  m.Count("freshet_backpressured_seconds_total", "Time a node had to wait for room behind it, over all its lanes.",
          sum.blocked_us, 1e6);
  if (load == nullptr || running_us <= 0) return;
  m.Set("freshet_busy_ratio", "Share of the last seconds that a node's busiest lane worked.", load->busy);
  m.Set("freshet_backpressured_ratio", "Share of the last seconds that it had to wait for room.", load->backpressured);
  m.Set("freshet_idle_ratio", "The rest: no input, or no core free.", load->idle);
}

void AddNode(const Scope& m, const PipelineView& view, size_t n, int64_t now_wall_us) {
  const NodeReport& node = view.report.nodes[n];
  for (const NodeCounterMetric& c : kNodeCounters)
    if ((c.classes & Of(node.node_class)) != 0) m.Count(c.name, c.help, node.counters.*c.field);
  const Activity sum = SumActivity(node);
  m.Count("freshet_bytes_in_total", "Bytes that came into a node; bytes read, for a source.", sum.bytes_in);
  if (node.node_class != NodeClass::kSink)
    m.Count("freshet_bytes_out_total", "Bytes of rows on a node's main output, in memory.", sum.bytes_out);
  AddTime(m, node, n < view.load.nodes.size() ? &view.load.nodes[n] : nullptr, view.report.running_us);
  m.Count("freshet_backpressure_waits_total", "Times a node had to wait for room behind it.", node.blocked_count);
  m.Set("freshet_rows_held", "Rows waiting inside a node now.", static_cast<double>(node.counters.held));
  m.Set("freshet_queue_messages", "Messages waiting in front of a node.", static_cast<double>(node.queued));
  if (node.node_class != NodeClass::kSource && node.node_class != NodeClass::kSink) {
    m.Set("freshet_state_bytes", "Bytes of a node's state in memory.", static_cast<double>(node.state_bytes));
    m.Set("freshet_state_keys", "Keys of a node's state in memory.", static_cast<double>(node.state_keys));
  }
  if (node.node_class == NodeClass::kStateful)
    m.Set("freshet_panes_open", "Windows open now, per key.", static_cast<double>(node.counters.panes_open));
  if (node.node_class == NodeClass::kStateful)
    m.Count("freshet_rows_pre_aggregated_total",
            "Rows in that became part of another before they were divided over "
            "lanes.",
            node.pre_aggregated);
  m.Set("freshet_bottleneck", "1 for the node that limits the pipeline's rate now.",
        static_cast<int>(n) == view.load.bottleneck ? 1 : 0);
  if (node.delivery) {
    m.Count("freshet_delivery_sent_rows_total", "Rows that a receiver has taken.", node.delivery->sent);
    m.Count("freshet_delivery_refused_rows_total", "Rows that a receiver refused or that were given up.",
            node.delivery->refused);
    m.Count("freshet_delivery_retries_total", "Attempts beyond each request's first.", node.delivery->retried);
    m.Set("freshet_delivery_waiting_rows", "Rows in the outbox.", static_cast<double>(node.delivery->waiting));
  }
  if (node.watermark == EventTime::Min() || node.watermark == EventTime::Max()) return;
  m.Seconds("freshet_watermark_timestamp_seconds", "Event time up to which a node is complete.", node.watermark.us);
  m.Seconds("freshet_watermark_lag_seconds", "How far that is behind the clock.", now_wall_us - node.watermark.us);
}

void AddCheckpoints(const Scope& m, const PipelineView& view, int64_t now_wall_us) {
  const JobReport& report = view.report;
  m.Count("freshet_checkpoints_total", "Checkpoints committed.", report.checkpoint_count);
  m.Count("freshet_checkpoints_skipped_total", "Checkpoints put off because the store was busy.",
          report.checkpoint_skipped_count);
  m.Count("freshet_checkpoints_failed_total", "Checkpoints given up.", report.checkpoint_failed_count);
  m.Set("freshet_checkpoint_epoch", "Number of the last checkpoint.", static_cast<double>(report.committed.number));
  // Before the first one of a run the age counts from its start, so that a pipeline that never gets one is seen.
  const int64_t since_us =
      report.checkpoint_last_wall_us != 0 ? report.checkpoint_last_wall_us : now_wall_us - report.running_us;
  m.Seconds("freshet_checkpoint_age_seconds", "Time since the last checkpoint became durable.", now_wall_us - since_us);
  if (!report.checkpoints) return;
  const auto figures = report.checkpoints;
  m.Show("freshet_checkpoint_duration_seconds", "Checkpoints, from barrier to durable.", {1e6, 10, 27},
         {figures, &figures->duration_us});
  m.Show("freshet_checkpoint_size_bytes", "Keys and values that a checkpoint wrote.", {1, 10, 36},
         {figures, &figures->bytes});
}

void AddMemory(const Scope& m, const JobReport& report) {
  m.Set("freshet_state_memory_bytes", "Bytes of state in memory, of checkpoints being written too.",
        static_cast<double>(report.memory_used));
  if (report.memory_limit > 0)
    m.Set("freshet_state_memory_limit_bytes", "What settings.memory_limit allows.",
          static_cast<double>(report.memory_limit));
  m.Count("freshet_state_memory_dropped_bytes_total", "Bytes of keys that left memory to make room.",
          report.memory_dropped_bytes);
  m.Count("freshet_state_spilled_bytes_total", "Bytes of keys put aside on disk before a checkpoint had them.",
          report.memory_spilled_bytes);
}

void AddPipeline(const PipelineView& view, int64_t now_wall_us, MetricRegistry& registry) {
  const Scope m(registry, {{"pipeline", view.name}});
  const bool up = view.phase == PipelinePhase::kRunning || view.phase == PipelinePhase::kReloading;
  m.Set("freshet_up", "1 while the pipeline runs.", up ? 1 : 0);
  m.Set("freshet_failed", "1 when the pipeline has failed.", view.phase == PipelinePhase::kFailed ? 1 : 0);
  m.Set("freshet_paused", "1 while sources rest because checkpoints fail (a full disk).", view.report.paused ? 1 : 0);
  m.Seconds("freshet_start_time_seconds", "When the pipeline was started, since 1970.", view.started_wall_us);
  m.Count("freshet_reloads_total", "Times the pipeline file was taken over while running.", view.reload_count);
  m.Count("freshet_reloads_refused_total", "Times a changed pipeline file was refused.", view.reload_refused_count);
  if (view.report.progress)
    m.Set("freshet_input_progress_ratio", "Share of bounded input read.", *view.report.progress);
  AddCheckpoints(m, view, now_wall_us);
  AddMemory(m, view.report);
  for (size_t n = 0; n < view.report.nodes.size(); ++n)
    AddNode(Scope(registry, {{"pipeline", view.name}, {"node", view.report.nodes[n].id}}), view, n, now_wall_us);
}

void AddProcess(MetricRegistry& registry) {
  const Scope m(registry, {});
  const ProcessFigures f = ReadProcessFigures();
  m.Count("process_cpu_seconds_total", "CPU time used, user and system.", f.cpu_us, 1e6);
  m.Set("process_resident_memory_bytes", "Bytes of this process in memory.", static_cast<double>(f.resident_bytes));
  m.Set("process_virtual_memory_bytes", "Bytes of address space.", static_cast<double>(f.virtual_bytes));
  m.Seconds("process_start_time_seconds", "When the process was started, since 1970.", f.start_wall_us);
  m.Set("process_open_fds", "Open files.", static_cast<double>(f.open_files));
  m.Set("process_max_fds", "Files it may have open.", static_cast<double>(f.open_files_max));
  m.Set("process_threads", "Threads.", static_cast<double>(f.thread_count));
}

}  // namespace

std::string RenderMetrics(const std::vector<PipelineView>& views, int64_t now_wall_us) {
  MetricRegistry registry;
  Scope(registry, {{"version", FRESHET_VERSION}, {"compiler", __VERSION__}})
      .Set("freshet_build_info", "Always 1; what was built is in the labels.", 1);
  AddProcess(registry);
  for (const PipelineView& view : views) AddPipeline(view, now_wall_us, registry);
  return registry.RenderPrometheus();
}

}  // namespace freshet
