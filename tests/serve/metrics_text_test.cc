// /metrics, read by a parser that shares nothing with its writer; and the examples that use its names.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "engine/serve/metrics_text.h"
#include "tests/serve/prometheus_text.h"

using namespace freshet;
using freshet::testing::PrometheusText;
using freshet::testing::ReadPrometheus;

namespace {

constexpr int64_t kNow = 1700000060000000;

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n" + line;
  return text;
}

/// Every class of node, odd names, figures that are all different from 0.
std::vector<PipelineView> RichViews() {
  std::vector<PipelineView> views;
  for (const char* name : {"plain", "od\"d\\ na\nme"}) {
    PipelineView view;
    view.name = name;
    view.phase = PipelinePhase::kRunning;
    view.started_wall_us = kNow - 3600000000;
    view.report.running_us = 3600000000;
    view.report.checkpoint_count = 3;
    view.report.checkpoint_failed_count = 1;
    view.report.checkpoint_last_wall_us = kNow - 4500000;
    view.report.memory_used = 300;
    view.report.memory_limit = views.empty() ? 0 : 1000;
    view.report.memory_dropped_bytes = 70;
    view.report.memory_spilled_bytes = 20;
    const auto figures = std::make_shared<CheckpointFigures>();
    figures->duration_us.Observe(17000);
    figures->duration_us.Observe(900000000);
    figures->bytes.Observe(5);
    view.report.checkpoints = figures;
    view.report.progress = 0.25;
    int i = 1;
    for (const NodeClass node_class :
         {NodeClass::kSource, NodeClass::kRowWise, NodeClass::kStateful, NodeClass::kExpanding, NodeClass::kSink}) {
      NodeReport node;
      node.id = "n" + std::to_string(i);
      node.node_class = node_class;
      node.counters.in = 100 * i;
      node.counters.late = 7 * i;
      node.watermark = EventTime{kNow - i * 1000000};
      node.state_keys = i;
      Activity a;
      a.busy_us = 1500000 * i;
      a.blocked_us = 250000;
      a.bytes_in = 11 * i;
      node.activity = {a, a};
      if (node.node_class == NodeClass::kSink) {
        node.delivery.emplace();
        node.delivery->sent = 40;
        node.delivery->waiting = 3;
      }
      view.report.nodes.push_back(node);
      view.load.nodes.push_back({0.5, 0.25, 0.25});
      ++i;
    }
    view.load.bottleneck = 2;
    views.push_back(std::move(view));
  }
  return views;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(std::string(FRESHET_SOURCE_DIR) + "/" + path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("PrometheusReader_PlantedBreaches_AreFound") {
  const std::string head = "# HELP a_total A.\n# TYPE a_total counter\n";
  CHECK(ReadPrometheus(head + "a_total 1\n").problems.empty());
  for (const std::string& bad : {
           head + "a_total 1\na_total 2\n",
           head + "a_total{x=\"1\",x=\"2\"} 1\n",
           head + "a_total{x=\"\\q\"} 1\n",
           head + "a_total{x=\"1} 1\n",
           head + "a_total{2x=\"1\"} 1\n",
           head + "a_total one\n",
           head + "a_total -1\n",
           head + "b_total 1\n",
           head + "a_total 1",
           head,
           std::string("# TYPE a_total counter\na_total 1\n"),
           std::string("# HELP a A.\n# TYPE a counter\na 1\n"),
           std::string("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n"),
           std::string("# HELP a_total A.\n# TYPE a_total counting\na_total 1\n"),
           head + "a_total 1\n# HELP b B.\n# TYPE b gauge\nb 1\n# HELP a_total A.\n",
           std::string("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n"
                       "h_count 1\n"),
           std::string("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n"),
           std::string("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n"),
       }) {
    CAPTURE(bad);
    CHECK_FALSE(ReadPrometheus(bad).problems.empty());
  }
}

TEST_CASE("Metrics_AllNodeClassesAndOddNames_AreValidPrometheusText") {
  const PrometheusText text = ReadPrometheus(RenderMetrics(RichViews(), kNow));
  CHECK_MESSAGE(text.problems.empty(), Joined(text.problems));
  const std::string odd = "od\"d\\ na\nme";
  CHECK(text.Value("freshet_rows_in_total", {{"pipeline", odd}, {"node", "n3"}}) == 300);
  CHECK(text.Value("freshet_rows_late_total", {{"pipeline", "plain"}, {"node", "n3"}}) == 21);
  CHECK(std::isnan(text.Value("freshet_rows_late_total", {{"pipeline", "plain"}, {"node", "n1"}})));
  CHECK(text.Value("freshet_busy_seconds_total", {{"pipeline", odd}, {"node", "n2"}}) == 6);
  CHECK(text.Value("freshet_backpressured_seconds_total", {{"pipeline", odd}, {"node", "n2"}}) == 0.5);
  CHECK(text.Value("freshet_bytes_in_total", {{"pipeline", odd}, {"node", "n2"}}) == 44);
  CHECK(text.Value("freshet_busy_ratio", {{"pipeline", odd}, {"node", "n2"}}) == 0.5);
  CHECK(text.Value("freshet_bottleneck", {{"pipeline", odd}, {"node", "n3"}}) == 1);
  CHECK(text.Value("freshet_bottleneck", {{"pipeline", odd}, {"node", "n4"}}) == 0);
  CHECK(text.Value("freshet_state_keys", {{"pipeline", odd}, {"node", "n3"}}) == 3);
  CHECK(text.Value("freshet_watermark_lag_seconds", {{"pipeline", odd}, {"node", "n4"}}) == 4);
  CHECK(text.families.at("freshet_delivery_sent_rows_total").samples.at(0).value == 40);
  CHECK(text.families.at("freshet_delivery_waiting_rows").samples.at(0).value == 3);
  CHECK(text.Value("freshet_checkpoint_age_seconds", {{"pipeline", odd}}) == 4.5);
  CHECK(text.Value("freshet_checkpoints_failed_total", {{"pipeline", odd}}) == 1);
  CHECK(text.Value("freshet_state_memory_bytes", {{"pipeline", odd}}) == 300);
  CHECK(text.Value("freshet_state_memory_limit_bytes", {{"pipeline", odd}}) == 1000);
  CHECK(std::isnan(text.Value("freshet_state_memory_limit_bytes", {{"pipeline", "plain"}})));
  CHECK(text.Value("freshet_state_memory_dropped_bytes_total", {{"pipeline", odd}}) == 70);
  CHECK(text.Value("freshet_state_spilled_bytes_total", {{"pipeline", odd}}) == 20);
  CHECK(text.Value("freshet_checkpoint_duration_seconds_count", {{"pipeline", odd}}) == 2);
  CHECK(text.Value("freshet_checkpoint_duration_seconds_sum", {{"pipeline", odd}}) == doctest::Approx(900.017));
  CHECK(text.Value("freshet_checkpoint_duration_seconds_bucket", {{"pipeline", odd}, {"le", "0.016383"}}) == 0);
  CHECK(text.Value("freshet_checkpoint_duration_seconds_bucket", {{"pipeline", odd}, {"le", "0.032767"}}) == 1);
  CHECK(text.Value("freshet_checkpoint_duration_seconds_bucket", {{"pipeline", odd}, {"le", "+Inf"}}) == 2);
  CHECK(text.Value("freshet_checkpoint_size_bytes_count", {{"pipeline", odd}}) == 1);
  CHECK(text.families.at("freshet_build_info").samples.at(0).labels.count("version") == 1);
  CHECK(text.families.at("process_cpu_seconds_total").samples.at(0).value > 0);
  CHECK(text.families.at("process_resident_memory_bytes").samples.at(0).value > 1e6);
  CHECK(text.families.at("process_open_fds").samples.at(0).value >= 3);
  // After 2020 and before now.
  CHECK(text.families.at("process_start_time_seconds").samples.at(0).value > 1577836800);
}

TEST_CASE("Metrics_BeforeTheFirstCheckpoint_AgeCountsFromTheStart") {
  std::vector<PipelineView> views = RichViews();
  views.resize(1);
  views[0].report.checkpoint_last_wall_us = 0;
  const PrometheusText text = ReadPrometheus(RenderMetrics(views, kNow));
  CHECK(text.Value("freshet_checkpoint_age_seconds", {{"pipeline", "plain"}}) == 3600);
}

TEST_CASE("Metrics_NamesInTheExamples_Exist") {
  std::set<std::string> names;
  const PrometheusText text = ReadPrometheus(RenderMetrics(RichViews(), kNow));
  for (const auto& [name, family] : text.families) {
    names.insert(name);
    if (family.type == "histogram")
      for (const char* suffix : {"_bucket", "_sum", "_count"}) names.insert(name + suffix);
  }
  int found = 0;
  for (const char* file :
       {"conf/grafana/freshet.json", "conf/prometheus/rules.yaml", "engine/serve/README.md", "conf/README.md"}) {
    const std::string content = ReadFile(file);
    REQUIRE_MESSAGE(!content.empty(), file);
    const std::regex metric("\\b(freshet_[a-z_]+|process_[a-z_]+)\\b");
    for (std::sregex_iterator it(content.begin(), content.end(), metric), end; it != end; ++it) {
      if ((*it)[1] == "process_figures") continue;  // a file
      ++found;
      CHECK_MESSAGE(names.count((*it)[1].str()) == 1, file << " names " << (*it)[1].str());
    }
  }
  CHECK(found > 20);
  // And none is left out of the list.
  const std::string readme = ReadFile("engine/serve/README.md");
  for (const auto& [name, family] : text.families)
    CHECK_MESSAGE(readme.find(name) != std::string::npos, "README.md does not list " << name);
}
