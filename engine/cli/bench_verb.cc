#include <CLI/CLI.hpp>

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "connectors/generate/generate.h"
#include "engine/base/cpu.h"
#include "engine/base/log.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/run_session.h"
#include "engine/cli/signals.h"
#include "engine/cli/summary.h"
#include "engine/cli/verbs.h"
#include "engine/serve/process_figures.h"

namespace freshet::cli {
namespace {

struct BenchArguments {
  LoadRequest load;
  std::string file = "default";
  std::string target;
  int64_t records = 2000000;
  bool json = false;
};

constexpr int kKeyCount = 5000;

/// What `freshet bench` runs when no file is named: the shape of BENCHMARKS: decode, filter to a quarter, window by
/// key.
constexpr const char* kDefaultPipeline = R"(name: bench
settings:
  checkpoint: {every: 1s}
sources:
  events:
    type: file
    path: events.ndjson
    format: ndjson
    schema: {at: timestamp, item: string, kind: string, amount: float64, bytes: int64}
    time: {field: at, lateness: 1s}
operators:
  sales:
    type: filter
    inputs: [events]
    where: kind = 'sale'
  per_item:
    type: window
    inputs: [sales]
    window: {tumbling: 10s}
    key: [item]
    aggregates:
      n: count()
      total: sum(amount)
      mean: avg(amount)
      largest: max(bytes)
sinks:
  nowhere:
    type: blackhole
    inputs: [per_item]
)";

Status WriteEvents(const std::string& path, int64_t record_count) {
  FRESHET_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, Env::Posix()->OpenWritable(path, 0));
  constexpr const char* kKinds[] = {"view", "sale", "like", "seek"};
  constexpr const char* kDevices[] = {"phone", "desktop", "television", "tablet"};
  Rng rng(7);
  std::string text;
  char line[256];
  for (int64_t i = 0; i < record_count; ++i) {
    const uint64_t r = rng.Next();
    const int n = std::snprintf(
        line, sizeof line,
        "{\"id\":%lld,\"at\":%lld,\"item\":\"item-%05d\",\"kind\":\"%s\",\"user\":\"user-%07d\",\"device\":\"%s\","
        "\"amount\":%d.%02d,\"bytes\":%d,\"ok\":true}\n",
        static_cast<long long>(i), static_cast<long long>(1700000000000 + i), static_cast<int>(rng.Below(kKeyCount)),
        kKinds[r & 3], static_cast<int>((r >> 8) % 10000000), kDevices[(r >> 2) & 3],
        static_cast<int>((r >> 32) % 1000), static_cast<int>((r >> 44) % 100), static_cast<int>((r >> 40) % 1000000));
    text.append(line, static_cast<size_t>(n));
    if (text.size() < (1 << 20)) continue;
    FRESHET_RETURN_IF_ERROR(file->Append(text));
    text.clear();
  }
  FRESHET_RETURN_IF_ERROR(file->Append(text));
  return file->Close();
}

/// A directory that goes away again.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  ~TemporaryDirectory() { (void)Env::Posix()->RemoveTree(path_).ok(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<Pipeline> LoadDefault(const BenchArguments& arguments, const std::string& directory, int* exit_code) {
  const std::string path = directory + "/bench.yaml";
  std::fprintf(stderr, "writing %s records to %s\n", FormatCount(arguments.records).c_str(), directory.c_str());
  Status status = WriteEvents(directory + "/events.ndjson", arguments.records);
  if (status.ok()) status = Env::Posix()->WriteFileAtomically(path, kDefaultPipeline);
  if (!status.ok()) {
    std::fprintf(stderr, "freshet: %s\n", status.message().c_str());
    *exit_code = ExitCodeOf(status, true);
    return {};
  }
  LoadRequest request = arguments.load;
  request.files = {path};
  return LoadOrExplain(request, exit_code);
}

/// Every sink becomes a blackhole, so that it is the pipeline that is measured and nothing is overwritten.
Status ReplaceSinks(Pipeline* pipeline) {
  const NodeDescriptor* blackhole = AllNodeTypes().Find(NodeKind::kSink, "blackhole");
  for (NodeSpec& node : pipeline->graph.nodes) {
    auto* sink = std::get_if<SinkNode>(&node.kind);
    if (sink == nullptr || node.type == "blackhole") continue;
    Diagnostics diagnostics;
    BindContext context;
    context.pipeline_name = pipeline->name();
    context.node_id = node.id;
    context.diagnostics = &diagnostics;
    context.env = Env::Posix();
    const OptionsNode options = OptionsNode::Make(nullptr, &blackhole->options, {}, &diagnostics);
    std::optional<BoundSink> bound = blackhole->make_sink(options, context);
    if (!bound) return Status::Internal("no blackhole for `" + node.id + "`");
    sink->bound = std::move(*bound);
    node.type = "blackhole";
  }
  return Status::Ok();
}

void PrintJson(const RunSession& session, double rate, double target, bool met) {
  JsonWriter json;
  json.BeginObject().Field("version", FRESHET_VERSION).Key("records_per_second").Double(rate);
  json.Key("target_per_second");
  target > 0 ? json.Double(target) : json.Null();
  json.Key("met").Bool(met).Field("cores", int64_t{AvailableCores()}).Key("run");
  WriteSummaryJson(session, json);
  json.EndObject();
  std::printf("%s\n", json.text().c_str());
}

int Measure(const BenchArguments& arguments, Pipeline pipeline, double target, const std::string& directory) {
  if (const Status status = ReplaceSinks(&pipeline); !status.ok()) {
    std::fprintf(stderr, "freshet: %s\n", status.ToString().c_str());
    return kExitFailed;
  }
  WatchSignals();
  RunSession::Options options;
  options.state_directory = directory + "/state";
  options.fresh = true;
  RunSession session(std::move(pipeline), options);
  if (session.Start().ok())
    while (!session.Wait(Duration::Millis(20)))
      if (SignalCount() > 0) session.RequestStop();
  session.Finish();
  std::fputs(SummaryText(session).c_str(), stderr);
  if (session.exit_code() != kExitOk) return session.exit_code();

  const double seconds = static_cast<double>(session.elapsed_us()) / 1e6;
  const double rate = static_cast<double>(RunSession::RecordsRead(session.Report())) / seconds;
  const bool met = target <= 0 || rate >= target;
  if (arguments.json) {
    PrintJson(session, rate, target, met);
  } else {
    std::printf("%s records/s (%s a minute) on %d cores, peak memory %s, checkpoints on\n",
                FormatCount(static_cast<int64_t>(rate)).c_str(), FormatCount(static_cast<int64_t>(rate * 60)).c_str(),
                AvailableCores(), FormatSize(PeakResidentBytes()).c_str());
    if (target > 0)
      std::printf("target %s records/s: %s (%.2f of it)\n", FormatCount(static_cast<int64_t>(target)).c_str(),
                  met ? "met" : "missed", rate / target);
  }
  return met ? kExitOk : kExitTarget;
}

int Bench(const BenchArguments& arguments) {
  double target = 0;
  if (!arguments.target.empty()) {
    const Result<double> parsed = ParseEventRate(arguments.target);
    if (!parsed.ok()) {
      std::fprintf(stderr, "freshet: --target: %s\n", parsed.status().message().c_str());
      return kExitWrong;
    }
    target = *parsed;
  }
  Env* const env = Env::Posix();
  const std::string base = env->Variable("TMPDIR").value_or("/tmp");
  const TemporaryDirectory directory(base + "/freshet-bench-" + std::to_string(getpid()));
  if (const Status status = env->MakeDirectories(directory.path()); !status.ok()) {
    std::fprintf(stderr, "freshet: %s\n", status.message().c_str());
    return ExitCodeOf(status, true);
  }
  int exit_code = kExitOk;
  std::vector<Pipeline> pipelines;
  if (arguments.file == "default") {
    pipelines = LoadDefault(arguments, directory.path(), &exit_code);
  } else {
    LoadRequest request = arguments.load;
    request.files = {arguments.file};
    pipelines = LoadOrExplain(request, &exit_code);
  }
  if (pipelines.empty()) return exit_code;
  return Measure(arguments, std::move(pipelines[0]), target, directory.path());
}

}  // namespace

Verb AddBenchVerb(CLI::App& program) {
  auto a = std::make_shared<BenchArguments>();
  CLI::App* app = program.add_subcommand("bench", "Measure how fast a pipeline runs on this machine");
  app->add_option("FILE", a->file,
                  "Pipeline file with bounded input; its sinks become blackholes (default: a built-in one)");
  app->add_option("--target", a->target, "Exit with 5 when slower than this, e.g. 1000000/min or 20000/s");
  app->add_option("--records", a->records, "Records of the built-in pipeline")->check(CLI::PositiveNumber);
  app->add_option("--set", a->load.sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_flag("--json", a->json, "Print the result as one line of JSON");
  return {app, [a] { return Bench(*a); }};
}

}  // namespace freshet::cli
