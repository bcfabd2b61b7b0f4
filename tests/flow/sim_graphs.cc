#include "tests/flow/sim_graphs.h"

#include "connectors/registry.h"
#include "engine/plan/pipeline.h"
#include "operators/registry.h"
#include "tests/support/paced_source.h"

namespace freshet::testing {
namespace {

const Registry& Types() {
  static const Registry* const registry = [] {
    auto* made = new Registry;
    RegisterConnectors(*made);
    RegisterOperators(*made);
    return made;
  }();
  return *registry;
}

std::string Text(uint64_t n) { return std::to_string(n); }

/// Drawn aside, so that everything else of a seed stays what it is. "": the default.
std::string PreAggregate(Rng rng) {
  constexpr const char* kModes[] = {"", "", "auto", "on", "on", "on", "off"};
  const std::string mode = kModes[rng.Below(std::size(kModes))];
  return mode.empty() ? mode : ", pre_aggregate: " + mode;
}

/// Whether and when keys are forgotten; drawn aside.
std::string StateTtl(Rng rng) { return rng.Below(3) > 0 ? "" : ", state_ttl: " + Text(1 + rng.Below(8)) + "s"; }
/// What an alert does about keys that fall silent; drawn aside.
std::string Silence(Rng rng) {
  if (rng.Below(2) == 0) return "";
  return std::string(", no_data: ") + (rng.Below(2) == 0 ? "fire" : "resolve") +
         ", no_data_after: " + Text(1 + rng.Below(6)) + "s, remember: " + Text(rng.Below(10)) + "s";
}

/// Numbers of these times as a feed gives them: partitions in turn, some with nothing to give when they are asked.
NodeSpec LiveSource(const std::string& id, const NumbersOptions& numbers) {
  PacedOptions live;
  live.live = true;
  live.rows = numbers.rows;
  live.partitions = numbers.partitions;
  live.keys = numbers.keys;
  live.chunk_rows = numbers.chunk_rows;
  live.quiet_seed = 1 + numbers.seed % 1000;
  live.at = [numbers](int partition, int64_t row) { return NumbersRowAt(numbers, partition, row).at_us; };
  return PacedSource(id, live);
}

}  // namespace

RandomPipeline::RandomPipeline(uint64_t seed, bool windows) {
  Rng rng(Mix64(seed ^ (windows ? 0x3170d : 0x5eed)));
  if (windows) live_ = seed % 6 == 4 ? Live::kNeverIdle : seed % 6 == 5 ? Live::kIdle : Live::kNo;
  Write(rng, windows);
  LoadOptions options;
  options.registry = &Types();
  options.push_down = false;
  options.wall_clock = true;
  Diagnostics diagnostics;
  auto source = std::make_shared<SourceText>();
  source->name = "random.yaml";
  source->bytes = text_;
  std::optional<Pipeline> pipeline = LoadPipeline(std::move(source), options, &diagnostics);
  if (pipeline)
    spec_ = std::move(pipeline->graph);
  else
    problems_ = diagnostics.Render(false) + text_;
}

void RandomPipeline::Write(Rng& rng, bool windows) {
  text_ = "name: random\nsources:\n";
  const uint64_t source_count = live_ == Live::kNeverIdle ? 1 : 1 + rng.Below(3);
  for (uint64_t s = 0; s < source_count; ++s) {
    NumbersOptions numbers;
    numbers.seed = rng.Next();
    numbers.partitions = live_ == Live::kNeverIdle ? 1 : 1 + static_cast<int>(rng.Below(3));
    numbers.rows = 20 + static_cast<int64_t>(rng.Below(120));
    numbers.chunk_rows = 1 + static_cast<int64_t>(rng.Below(40));
    numbers.keys = 1 + static_cast<int64_t>(rng.Below(30));
    numbers.jitter_us = static_cast<int64_t>(rng.Below(4000000));
    const uint64_t lateness_s = rng.Below(4);
    numbers.lateness = Duration::Seconds(static_cast<int64_t>(lateness_s));
    sources_.push_back(numbers);
    const std::string id = "s" + Text(s);
    // Bound as a file; what is read are numbers.
    text_ += "  " + id +
             ": {type: file, path: numbers.csv, format: csv, schema: {at: timestamp, k: int64, v: float64}, " +
             "time: {field: at, lateness: " + Text(lateness_s) + "s}}\n";
    streams_.push_back(id);
  }
  text_ += "operators:\n";
  const uint64_t operator_count = 1 + rng.Below(6);
  for (uint64_t o = 0; o < operator_count; ++o) {
    const std::string id = "o" + Text(o);
    text_ += windows && rng.Below(3) > 0 ? WriteWindow(rng, id) : WriteOperator(rng, id);
  }
  text_ += "sinks:\n";
  size_t sinks = 0;
  const auto sink = [&](const std::string& from) {
    text_ += "  out" + std::to_string(sinks++) + ": {type: blackhole, inputs: [" + from + "]}\n";
  };
  for (const std::string& stream : streams_)
    if (stream.starts_with("o") && rng.Below(3) > 0) sink(stream);
  for (const std::string& stream : terminals_) sink(stream);
  if (sinks == 0) sink(streams_.back());
  constexpr int64_t kCreditRows[] = {1, 30, 300, kSourceCreditRows};
  credit_rows_ = kCreditRows[rng.Below(4)];
  publishing_ = rng.Next();
}

std::string RandomPipeline::Inputs(Rng& rng) { return "inputs: [" + streams_[rng.Below(streams_.size())] + "]"; }

std::string RandomPipeline::WriteOperator(Rng& rng, const std::string& id) {
  const std::string head = "  " + id + ": {type: ";
  const std::string one = Inputs(rng);
  const bool keyed = rng.Below(4) > 0;
  const std::string key = keyed ? ", key: [k]" : "";
  switch (rng.Below(9)) {
    case 0: {
      // The union of two of the sources, which have one schema.
      const std::string a = "s" + Text(rng.Below(sources_.size())), b = "s" + Text(rng.Below(sources_.size()));
      streams_.push_back(id);
      return head + "filter, inputs: [" + (a == b ? a : a + ", " + b) + "], where: k % " + Text(2 + rng.Below(4)) +
             " != 0}\n";
    }
    case 1:
      streams_.push_back(id);
      return head + "filter, " + one + ", where: v > " + Text(rng.Below(4)) + "}\n";
    case 2:
      streams_.push_back(id);
      return head + "derive, " + one + ", key: [k], columns: {" + id + "_d: delta(v)}" + StateTtl(rng) + "}\n";
    case 3:
    case 4: {
      const uint64_t width = 1 + rng.Below(6);
      const std::string shape = rng.Below(2) == 0 ? "{tumbling: " + Text(width) + "s}"
                                                  : "{hopping: " + Text(width * 2) + "s, every: " + Text(width) + "s}";
      if (keyed)
        streams_.push_back(id);
      else
        terminals_.push_back(id);
      if (rng.Below(2) == 0) terminals_.push_back(id + ".late");
      return head + "window, " + one + ", window: " + shape + key + PreAggregate(rng) +
             ", aggregates: {v: sum(v), n: count(*), top: max(v)}}\n";
    }
    case 5:
      streams_.push_back(id);
      return head + "isolation_forest, " + one + ", features: [v], trees: " + Text(2 + rng.Below(4)) +
             ", window: " + Text(40 + rng.Below(40)) +
             ", leaf_size: 8, variant: " + (rng.Below(2) == 0 ? "rolling" : "online") + key + ", as: " + id +
             (keyed ? StateTtl(rng) : "") + "}\n";
    case 7: {
      const std::string left = streams_[rng.Below(streams_.size())], right = streams_[rng.Below(streams_.size())];
      if (left == right) return WriteOperator(rng, id);
      terminals_.push_back(id);
      if (rng.Below(2) == 0) terminals_.push_back(id + ".late");
      return head + "join, inputs: [" + left + ", " + right +
             "], key: [k], right_prefix: right_, how: " + (rng.Below(2) == 0 ? "left" : "inner") +
             (rng.Below(2) == 0 ? ", within: 1s" : ", window: {tumbling: 2s}") + "}\n";
    }
    case 6: {
      static constexpr const char* kMethods[] = {
          "statistical_outlier, method: mad",
          "statistical_outlier, method: ewma_zscore",
          "statistical_outlier, method: hampel, window: 9",
          "statistical_outlier, method: negbin, calibrate: true",
          "statistical_outlier, method: gesd, window: 30",
          "statistical_outlier, method: holt_winters, period: 6s, step: 1s",
          "statistical_outlier, method: seasonal, season: hour_of_day, zone: Asia/Kolkata",
          "statistical_outlier, method: mad, transform: diff",
          "change_point, threshold: 3",
          "change_point, method: adwin",
      };
      streams_.push_back(id);
      return head + kMethods[rng.Below(std::size(kMethods))] + ", " + one + ", metric: v" + key + ", as: " + id +
             (keyed ? StateTtl(rng) : "") + "}\n";
    }
    default:
      terminals_.push_back(id);
      return head + "alert, " + one + ", when: v > " + Text(2 + rng.Below(5)) + key + ", severity: high" +
             (rng.Below(2) == 0 ? ", for: 1s, cooldown: 2s" : "") + (keyed ? Silence(rng) : "") + "}\n";
  }
}

std::string RandomPipeline::WriteWindow(Rng& rng, const std::string& id) {
  const std::string inputs = Inputs(rng);
  const bool keyed = rng.Below(4) > 0;
  (keyed ? streams_ : terminals_).push_back(id);
  if (rng.Below(2) == 0) terminals_.push_back(id + ".late");
  const uint64_t width = 1 + rng.Below(6);
  std::string shape;
  const uint64_t kind = rng.Below(8);
  switch (kind) {
    case 0:
      shape = "{tumbling: " + Text(width) + "s}";
      break;
    case 1:
      shape = "{hopping: " + Text(width * 2) + "s, every: " + Text(width) + "s}";
      break;
    case 2:
      shape = "{hopping: " + Text(width * 5) + "s, every: 1s}";
      break;
    case 3:
      shape = "{cumulate: " + Text(width * 4) + "s, every: " + Text(width) + "s}";
      break;
    case 4:
      shape = "{global: true}";
      break;
    case 5:
      shape = "{sliding: " + Text(width) + "s}";
      break;
    case 6:
      shape = "{session: " + Text(width * 200) + "ms}";
      break;
    default:
      shape = "{count: " + Text(width * 2) + ", every: " + Text(1 + rng.Below(2)) + "}";
  }
  std::string options = keyed ? ", key: [k]" : "";
  if (kind < 4 && live_ == Live::kIdle && rng.Below(3) == 0)
    options += ", time: processing";
  else if (kind < 4 && rng.Below(2) == 0)
    options += ", allowed_lateness: " + Text(1 + rng.Below(5000)) + "ms";
  if (kind < 5 && rng.Below(2) == 0) options += rng.Below(2) == 0 ? ", emit_every: 1s" : ", emit_every: 250ms";
  // A window that remembers which row was last is not pre-aggregated.
  const std::string pre_aggregate = PreAggregate(rng);
  const char* const last = pre_aggregate.empty() ? ", l: last(v)" : "";
  return "  " + id + ": {type: window, " + inputs + ", window: " + shape + options + pre_aggregate +
         ", aggregates: {v: sum(v), n: count(*), top: max(v)" + last + "}}\n";
}

int64_t RandomPipeline::row_count() const {
  int64_t rows = 0;
  for (const NumbersOptions& numbers : sources_) rows += numbers.rows * numbers.partitions;
  return rows;
}

GraphSpec RandomPipeline::Spec(Outputs* outputs) const {
  GraphSpec spec = spec_;
  size_t sinks = 0;
  for (NodeSpec& node : spec.nodes) {
    if (auto* source = std::get_if<SourceNode>(&node.kind)) {
      const NumbersOptions& numbers = sources_[static_cast<size_t>(std::stoi(node.id.substr(1)))];
      const NodeSpec real = live_ == Live::kNo ? NumbersSource(node.id, numbers) : LiveSource(node.id, numbers);
      source->bound = std::get<SourceNode>(real.kind).bound;
      source->time.idle = live_ == Live::kIdle ? Duration::Millis(1 + static_cast<int64_t>(numbers.seed % 40))
                                               : Duration::Seconds(3600);
      source->credit_rows = credit_rows_;
    } else if (std::holds_alternative<SinkNode>(node.kind)) {
      auto& into = (*outputs)[node.id];
      if (!into) into = std::make_shared<Published>();
      const bool publishes = (publishing_ >> (sinks++ % 64) & 1) != 0;
      node = publishes ? PublishSink(node.id, node.inputs, into) : CollectSink(node.id, node.inputs, into);
    }
  }
  return spec;
}

}  // namespace freshet::testing
