#include "engine/cli/summary.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "connectors/format/row_writer.h"
#include "engine/base/units.h"
#include "engine/serve/process_figures.h"

namespace freshet::cli {
namespace {

constexpr size_t kLateRowsShown = 3;

bool IsDeadLetterFile(const NodeReport& node) { return node.type == "dead_letter_file"; }

std::string Label(const NodeReport& node) {
  const char* kind = node.node_class == NodeClass::kSource ? "source"
                     : node.node_class == NodeClass::kSink ? "sink"
                                                           : node.type.c_str();
  return std::string(kind) + " " + node.id;
}

/// "a 3 + b 4": the first always, the others where there are any.
std::string Sum(const std::vector<std::pair<const char*, int64_t>>& terms) {
  std::string text;
  for (const auto& [name, value] : terms) {
    if (value == 0 && !text.empty()) continue;
    if (!text.empty()) text += " + ";
    text += std::string(name) + " " + FormatCount(value);
  }
  return text;
}

const char* Outcome(const RunSession& session, const JobReport& report) {
  if (session.already_finished_wall_us()) return "already_finished";
  if (!report.status.ok()) return "failed";
  return report.finished ? "finished" : "stopped";
}

std::string Headline(const RunSession& session, const JobReport& report) {
  const int64_t records = RunSession::RecordsRead(report) - session.records_before();
  const double seconds = static_cast<double>(std::max<int64_t>(1, session.elapsed_us())) / 1e6;
  char took[32];
  std::snprintf(took, sizeof took, seconds < 10 ? "%.2f s" : "%.0f s", seconds);
  std::string text = session.name() + ": " + Outcome(session, report) + " after " + took + ", " + FormatCount(records) +
                     (records == 1 ? " record (" : " records (") +
                     FormatCount(static_cast<int64_t>(static_cast<double>(records) / seconds)) + "/s), peak memory " +
                     FormatSize(PeakResidentBytes()) + "\n";
  if (report.restored.number > 0)
    text += "  went on from checkpoint " + FormatCount(static_cast<int64_t>(report.restored.number)) +
            "; the counts below include what was done before it\n";
  return text;
}

std::string CheckpointLine(const JobReport& report) {
  if (report.checkpoint_count + report.checkpoint_skipped_count + report.checkpoint_failed_count == 0) return {};
  std::string text = "  checkpoints  " + FormatCount(report.checkpoint_count) + ", the last is number " +
                     FormatCount(static_cast<int64_t>(report.committed.number)) + " with " +
                     FormatCount(report.checkpoint_last_rows) + " keys in " +
                     FormatDuration(Duration::Millis(report.checkpoint_last_us / 1000));
  if (report.checkpoint_skipped_count > 0) text += "; " + FormatCount(report.checkpoint_skipped_count) + " put off";
  if (report.checkpoint_failed_count > 0)
    text += "; " + FormatCount(report.checkpoint_failed_count) +
            " failed and tried again, at last because: " + report.checkpoint_last_error;
  return text + "\n";
}

/// When it was a sink that the whole run waited for.
std::string LimitLine(const JobReport& report, const NodeEdges& edges) {
  const PipelineLoad load = MeasureLoad(JobReport(), report, edges);
  if (load.bottleneck < 0) return {};
  const auto n = static_cast<size_t>(load.bottleneck);
  if (report.nodes[n].node_class != NodeClass::kSink) return {};
  char share[64];
  std::snprintf(share, sizeof share, "%.0f %% of the time", load.nodes[n].busy * 100);
  return "  limited by " + Label(report.nodes[n]) + ", which was writing " + share + " while the sources waited\n";
}

std::string DeadLetterPath(const RunSession& session, const std::string& node) {
  return session.state_directory() + "/dead_letter/" + node + ".ndjson";
}

/// The node whose dead letters an implicit sink "NODE.dead_letter" keeps.
std::string DeadLetterOwner(const NodeReport& sink) { return sink.id.substr(0, sink.id.rfind('.')); }

std::string LateSamples(const JobReport& report) {
  std::map<std::string, std::vector<std::string>> rows;  // lanes of one node come apart
  RowWriterSet writers(RowFormat::kNdjson);
  for (const auto& [node, batches] : report.late_samples) {
    for (const Batch& batch : batches) {
      const Batch dense = batch.Dense();
      for (int32_t row = 0; row < dense.row_count(); ++row) {
        if (rows[node].size() >= kLateRowsShown) break;
        writers.For(dense.schema()).AppendObject(dense, row, &rows[node].emplace_back());
      }
    }
  }
  std::string text;
  for (const auto& [node, lines] : rows) {
    text += "  late at " + node + ", for example\n";
    for (const std::string& line : lines) text += "    " + line + "\n";
  }
  return text;
}

}  // namespace

std::string ConservationLine(const NodeReport& node, size_t label_width) {
  const NodeCounters& c = node.counters;
  std::string line = Label(node);
  line.resize(std::max(line.size(), label_width), ' ');
  line += "  ";
  switch (node.node_class) {
    case NodeClass::kSource:
      line += "read " + FormatCount(c.in) + " = " +
              Sum({{"emitted", c.out}, {"dead", c.dead}, {"skipped", c.skipped}, {"waiting", c.held}});
      break;
    case NodeClass::kRowWise:
      line += "in " + FormatCount(c.in) + " = " +
              Sum({{"out", c.out},
                   {"filtered", c.filtered},
                   {"rejected", c.rejected},
                   {"late", c.late},
                   {"dead", c.dead},
                   {"held", c.held}});
      break;
    case NodeClass::kStateful:
      line += "in " + FormatCount(c.in) + " = " +
              Sum({{"absorbed", c.absorbed}, {"late", c.late}, {"dead", c.dead}, {"held", c.held}});
      if (c.panes_opened > 0)
        line += "; panes opened " + FormatCount(c.panes_opened) + " = " +
                Sum({{"emitted", c.panes_emitted}, {"open", c.panes_open}, {"empty", c.panes_empty}});
      if (c.panes_opened == 0 || c.out != c.panes_emitted) line += "; out " + FormatCount(c.out);
      if (c.late_panes > 0) line += "; late for some panes " + FormatCount(c.late_panes);
      break;
    case NodeClass::kExpanding:
      line += "in " + FormatCount(c.in) + " = " +
              Sum({{"matched", c.matched}, {"unmatched", c.unmatched}, {"dead", c.dead}}) + "; out " +
              FormatCount(c.out);
      break;
    case NodeClass::kSink:
      line += "in " + FormatCount(c.in) + " = " + Sum({{"out", c.out}, {"dead", c.dead}, {"held", c.held}});
      break;
  }
  if (c.dropped > 0) line += "; " + FormatCount(c.dropped) + " of the skipped were dropped on overflow";
  if (c.nulled > 0) line += "; " + FormatCount(c.nulled) + " values became null";
  if (!node.law.empty()) line += "  NOT ACCOUNTED FOR: " + node.law;
  return line;
}

std::string SummaryText(const RunSession& session) {
  const JobReport report = session.Report();
  if (const auto when = session.already_finished_wall_us(); when && report.status.ok())
    return session.name() + ": already processed in full on " + FormatTime(EventTime{*when / 1000000 * 1000000}) +
           "; --fresh starts over\n";
  std::string text;
  if (!report.nodes.empty()) {
    text += Headline(session, report);
    size_t width = 0;
    for (const NodeReport& node : report.nodes)
      if (!IsDeadLetterFile(node)) width = std::max(width, Label(node).size());
    for (const NodeReport& node : report.nodes)
      if (!IsDeadLetterFile(node)) text += "  " + ConservationLine(node, width) + "\n";
    text += LimitLine(report, session.edges());
    text += CheckpointLine(report);
    for (const auto& [node, sentence] : report.sink_summaries)
      if (!node.ends_with(".dead_letter")) text += "  " + node + "  " + sentence + "\n";
    for (const NodeReport& node : report.nodes)
      if (IsDeadLetterFile(node) && node.counters.in > 0)
        text += "  dead letters of " + DeadLetterOwner(node) + ": " + FormatCount(node.counters.in) + " in " +
                DeadLetterPath(session, DeadLetterOwner(node)) + "\n";
    text += LateSamples(report);
  }
  for (const std::string& warning : report.warnings) text += "warning: " + warning + "\n";
  if (!report.status.ok()) {
    text += "freshet: " + session.name() + ": " + report.status.ToString() + "\n";
    if (report.status.code() == StatusCode::kNoSpace)
      text +=
          "  Free some space there and give the same command again: it goes on from the last checkpoint, nothing is "
          "lost.\n";
  }
  return text;
}

void WriteSummaryJson(const RunSession& session, JsonWriter& json) {
  const JobReport report = session.Report();
  json.BeginObject().Field("name", session.name()).Field("file", session.file());
  json.Field("outcome", Outcome(session, report)).Field("exit_code", session.exit_code());
  json.Field("elapsed_us", session.elapsed_us());
  json.Field("records", RunSession::RecordsRead(report) - session.records_before());
  const ProcessFigures process = ReadProcessFigures();
  json.Field("peak_memory_bytes", process.peak_resident_bytes).Field("cpu_us", process.cpu_us);
  json.Field("state_directory", session.state_directory());
  if (const auto when = session.already_finished_wall_us()) json.Field("finished_at", FormatTime(EventTime{*when}));
  if (!report.status.ok()) json.Field("error", report.status.ToString());
  json.Key("checkpoint");
  WriteCheckpointJson(report, json);
  json.Key("nodes").BeginArray();
  for (const NodeReport& node : report.nodes)
    if (!IsDeadLetterFile(node)) WriteNodeJson(node, nullptr, 0, json);
  json.EndArray().Key("bottleneck");
  WriteBottleneckJson(report, MeasureLoad(JobReport(), report, session.edges()), json);
  json.Key("sinks").BeginObject();
  for (const auto& [node, sentence] : report.sink_summaries)
    if (!node.ends_with(".dead_letter")) json.Field(node, sentence);
  json.EndObject().Key("dead_letters").BeginObject();
  for (const NodeReport& node : report.nodes)
    if (IsDeadLetterFile(node) && node.counters.in > 0)
      json.Key(DeadLetterOwner(node))
          .BeginObject()
          .Field("count", node.counters.in)
          .Field("path", DeadLetterPath(session, DeadLetterOwner(node)))
          .EndObject();
  json.EndObject().Key("warnings").BeginArray();
  for (const std::string& warning : report.warnings) json.String(warning);
  json.EndArray().EndObject();
}

}  // namespace freshet::cli
