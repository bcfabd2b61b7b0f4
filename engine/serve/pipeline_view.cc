#include "engine/serve/pipeline_view.h"

#include <cmath>

#include "engine/base/units.h"

namespace freshet {

const char* PipelinePhaseName(PipelinePhase phase) {
  switch (phase) {
    case PipelinePhase::kStarting:
      return "starting";
    case PipelinePhase::kRunning:
      return "running";
    case PipelinePhase::kReloading:
      return "reloading";
    case PipelinePhase::kStopping:
      return "stopping";
    case PipelinePhase::kFinished:
      return "finished";
    case PipelinePhase::kStopped:
      return "stopped";
    case PipelinePhase::kFailed:
      return "failed";
  }
  return "";
}

const char* NodeClassName(NodeClass node_class) {
  switch (node_class) {
    case NodeClass::kSource:
      return "source";
    case NodeClass::kRowWise:
      return "row_wise";
    case NodeClass::kStateful:
      return "stateful";
    case NodeClass::kExpanding:
      return "expanding";
    case NodeClass::kSink:
      return "sink";
  }
  return "";
}

std::vector<std::pair<const char*, int64_t>> NamedCounters(NodeClass node_class, const NodeCounters& c) {
  switch (node_class) {
    case NodeClass::kSource:
      return {{"read", c.in}, {"emitted", c.out}, {"dead", c.dead}, {"skipped", c.skipped}, {"waiting", c.held}};
    case NodeClass::kRowWise:
      return {{"in", c.in},     {"out", c.out},   {"filtered", c.filtered}, {"rejected", c.rejected},
              {"late", c.late}, {"dead", c.dead}, {"held", c.held},         {"nulled", c.nulled}};
    case NodeClass::kStateful:
      return {{"in", c.in},
              {"absorbed", c.absorbed},
              {"late", c.late},
              {"dead", c.dead},
              {"held", c.held},
              {"out", c.out},
              {"late_panes", c.late_panes},
              {"panes_opened", c.panes_opened},
              {"panes_emitted", c.panes_emitted},
              {"panes_open", c.panes_open},
              {"panes_empty", c.panes_empty},
              {"nulled", c.nulled}};
    case NodeClass::kExpanding:
      return {{"in", c.in}, {"matched", c.matched}, {"unmatched", c.unmatched}, {"dead", c.dead}, {"out", c.out}};
    case NodeClass::kSink:
      return {{"in", c.in}, {"out", c.out}, {"dead", c.dead}, {"held", c.held}};
  }
  return {};
}

Activity SumActivity(const NodeReport& node) {
  Activity sum;
  for (const Activity& a : node.activity) {
    sum.busy_us += a.busy_us;
    sum.blocked_us += a.blocked_us;
    sum.bytes_in += a.bytes_in;
    sum.bytes_out += a.bytes_out;
  }
  return sum;
}

namespace {
double Rounded(double value, double steps) { return std::round(value * steps) / steps; }
}  // namespace

void WriteNodeJson(const NodeReport& node, const NodeLoad* load, int64_t now_wall_us, JsonWriter& json) {
  json.BeginObject().Field("id", node.id).Field("type", node.type).Field("class", NodeClassName(node.node_class));
  json.Key("rows").BeginObject();
  for (const auto& [name, value] : NamedCounters(node.node_class, node.counters)) json.Field(name, value);
  json.EndObject();
  if (node.node_class == NodeClass::kStateful) json.Field("pre_aggregated", node.pre_aggregated);
  json.Key("accounted").Bool(node.law.empty());
  if (node.delivery)
    json.Key("delivery")
        .BeginObject()
        .Field("sent", node.delivery->sent)
        .Field("waiting", node.delivery->waiting)
        .Field("refused", node.delivery->refused)
        .Field("retried", node.delivery->retried)
        .EndObject();
  json.Key("watermark");
  if (node.watermark == EventTime::Min() || node.watermark == EventTime::Max())
    json.Null();
  else
    json.String(FormatTime(node.watermark));
  if (now_wall_us != 0) {
    json.Key("watermark_lag_us");
    if (node.watermark == EventTime::Min() || node.watermark == EventTime::Max())
      json.Null();
    else
      json.Int(now_wall_us - node.watermark.us);
  }
  json.Key("ended").Bool(node.watermark == EventTime::Max());
  json.Field("queued", node.queued).Field("blocked", node.blocked_count);
  json.Field("state_bytes", node.state_bytes).Field("state_keys", node.state_keys);
  const Activity sum = SumActivity(node);
  json.Field("bytes_in", sum.bytes_in).Field("bytes_out", sum.bytes_out);
  json.Field("busy_us", sum.busy_us).Field("backpressured_us", sum.blocked_us);
  if (load != nullptr) {
    json.Key("load").BeginObject();
    json.Key("busy_ratio").Double(Rounded(load->busy, 1e4));
    json.Key("backpressured_ratio").Double(Rounded(load->backpressured, 1e4));
    json.Key("idle_ratio").Double(Rounded(load->idle, 1e4));
    json.Key("rows_in_per_second").Double(Rounded(load->rows_in_per_second, 10));
    json.Key("rows_out_per_second").Double(Rounded(load->rows_out_per_second, 10));
    json.Key("bytes_in_per_second").Double(Rounded(load->bytes_in_per_second, 10));
    json.Key("bytes_out_per_second").Double(Rounded(load->bytes_out_per_second, 10));
    json.EndObject();
  }
  if (!node.waiting_for.empty()) json.Field("waiting_for", node.waiting_for);
  json.EndObject();
}

void WriteBottleneckJson(const JobReport& report, const PipelineLoad& load, JsonWriter& json) {
  if (load.bottleneck < 0) {
    json.Null();
    return;
  }
  const auto n = static_cast<size_t>(load.bottleneck);
  json.BeginObject().Field("node", report.nodes[n].id);
  json.Key("busy_ratio").Double(Rounded(load.nodes[n].busy, 1e4)).EndObject();
}

void WriteCheckpointJson(const JobReport& report, JsonWriter& json) {
  json.BeginObject()
      .Field("restored_epoch", static_cast<int64_t>(report.restored.number))
      .Field("committed_epoch", static_cast<int64_t>(report.committed.number))
      .Field("count", report.checkpoint_count)
      .Field("skipped", report.checkpoint_skipped_count)
      .Field("failed", report.checkpoint_failed_count)
      .Field("last_duration_us", report.checkpoint_last_us)
      .Field("last_rows", report.checkpoint_last_rows)
      .Field("last_bytes", report.checkpoint_last_bytes);
  json.Key("last_at");
  if (report.checkpoint_last_wall_us == 0)
    json.Null();
  else
    json.String(FormatTime(EventTime{report.checkpoint_last_wall_us}));
  json.Key("paused").Bool(report.paused);
  if (!report.checkpoint_last_error.empty()) json.Field("last_error", report.checkpoint_last_error);
  json.EndObject();
}

void WriteMemoryJson(const JobReport& report, JsonWriter& json) {
  json.BeginObject().Field("used_bytes", report.memory_used).Key("limit_bytes");
  if (report.memory_limit > 0)
    json.Int(report.memory_limit);
  else
    json.Null();
  json.Field("dropped_bytes", report.memory_dropped_bytes).Field("spilled_bytes", report.memory_spilled_bytes);
  json.EndObject();
}

void WritePipelineJson(const PipelineView& view, int64_t now_wall_us, JsonWriter& json) {
  json.BeginObject().Field("name", view.name).Field("phase", PipelinePhaseName(view.phase));
  json.Field("state_directory", view.state_directory).Field("started_at", FormatTime(EventTime{view.started_wall_us}));
  json.Key("progress");
  if (view.report.progress)
    json.Double(*view.report.progress);
  else
    json.Null();
  json.Field("now", FormatTime(EventTime{now_wall_us})).Field("running_us", view.report.running_us);
  json.Field("reloads", view.reload_count).Field("reloads_refused", view.reload_refused_count);
  json.Key("checkpoint");
  WriteCheckpointJson(view.report, json);
  json.Key("memory");
  WriteMemoryJson(view.report, json);
  json.Field("window_us", view.load.window_us).Key("bottleneck");
  WriteBottleneckJson(view.report, view.load, json);
  json.Key("nodes").BeginArray();
  for (size_t n = 0; n < view.report.nodes.size(); ++n)
    WriteNodeJson(view.report.nodes[n], n < view.load.nodes.size() ? &view.load.nodes[n] : nullptr, now_wall_us, json);
  json.EndArray().Key("edges").BeginArray();
  for (const auto& [from, to] : view.edges) json.BeginObject().Field("from", from).Field("to", to).EndObject();
  json.EndArray();
  if (!view.report.status.ok()) json.Field("error", view.report.status.ToString());
  json.EndObject();
}

}  // namespace freshet
