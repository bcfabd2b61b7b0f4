#include "connectors/host/host.h"

#include <unistd.h>

#include <algorithm>

#include "connectors/file_sink/option_path.h"
#include "connectors/host/proc_stats.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"

namespace freshet {
namespace {

enum HostColumn {
  kAt,
  kHost,
  kCpuUser,
  kCpuSystem,
  kCpuIowait,
  kCpuSteal,
  kCpuBusy,
  kMemoryTotal,
  kMemoryAvailable,
  kMemoryUsedShare,
  kSwapUsed,
  kDiskRead,
  kDiskWrite,
  kNetworkIn,
  kNetworkOut,
  kLoad1,
  kLoad5,
  kLoad15,
  kRunning,
  kProcesses
};

/// Growth of a counter; nothing when it fell, as after a reset or when a disk was removed.
std::optional<double> Growth(uint64_t before, uint64_t now) {
  if (now < before) return std::nullopt;
  return static_cast<double>(now - before);
}

class HostSource final : public Source {
 public:
  HostSource(HostOptions options, SchemaRef schema) : options_(std::move(options)), schema_(std::move(schema)) {
    const SchemaRef all = HostSchema();
    for (const Field& field : schema_->fields()) columns_.push_back(all->Find(field.name).value_or(kAt));
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) == 0) host_ = name;
  }

  Status Open(const SourceOpenContext& ctx) override {
    env_ = ctx.env;
    next_us_ = env_->SteadyMicros();
    ProcSample first;
    FRESHET_RETURN_IF_ERROR(Read(&first));
    if (!first.has_cpu && !first.has_memory && !first.has_load)
      return Status::NotFound(options_.proc + " tells nothing about this machine; is it mounted? (option `proc`)");
    return Status::Ok();
  }

  std::vector<std::string> Partitions() const override { return {"host"}; }

  Result<PollOutcome> Poll(const PollBudget&, RawChunk* chunk) override {
    const int64_t now = env_->SteadyMicros();
    if (now < next_us_) {
      retry_after_us_ = std::min<int64_t>(next_us_ - now, 100000);
      return PollOutcome::kNothing;
    }
    // The next multiple of the interval from the start, so that a slow poll does not shift all later ones.
    next_us_ += ((now - next_us_) / options_.interval.us + 1) * options_.interval.us;
    ProcSample sample;
    FRESHET_RETURN_IF_ERROR(Read(&sample));
    auto block = std::make_shared<DecodedBlock>();
    for (size_t c = 0; c < columns_.size(); ++c) {
      ColumnBuilder builder(schema_->field(static_cast<int>(c)).type, 1);
      Append(columns_[c], sample, &builder);
      block->columns.push_back(builder.Finish());
    }
    block->row_count = 1;
    block->record_count = 1;
    chunk->finished = std::move(block);
    chunk->row_count_hint = 1;
    chunk->position_after = "live";
    previous_ = sample;
    return PollOutcome::kChunk;
  }

  int64_t retry_after_us() const override { return retry_after_us_; }

 private:
  Status Read(ProcSample* sample) {
    sample->at_us = env_->WallMicros();
    sample->steady_us = env_->SteadyMicros();
    // A file that is not there (a container, another system) leaves its columns null.
    const auto read = [&](const char* name, void (*parse)(std::string_view, ProcSample*)) {
      const Result<std::string> text = env_->ReadFile(options_.proc + "/" + name);
      if (text.ok()) parse(text.value(), sample);
    };
    read("stat", ParseProcStat);
    read("meminfo", ParseProcMeminfo);
    read("diskstats", ParseProcDiskstats);
    read("net/dev", ParseProcNetDev);
    read("loadavg", ParseProcLoadavg);
    return Status::Ok();
  }

  /// Share of all cores' time spent in one way since the previous row.
  std::optional<double> CpuShare(const ProcSample& now, uint64_t ProcSample::*field) const {
    if (!previous_ || !previous_->has_cpu || !now.has_cpu || now.cpu_total <= previous_->cpu_total) return std::nullopt;
    const auto part = Growth((*previous_).*field, now.*field);
    if (!part) return std::nullopt;
    return std::min(1.0, *part / static_cast<double>(now.cpu_total - previous_->cpu_total));
  }

  std::optional<double> PerSecond(const ProcSample& now, bool ProcSample::*has, uint64_t ProcSample::*field) const {
    if (!previous_ || !((*previous_).*has) || !(now.*has) || now.steady_us <= previous_->steady_us) return std::nullopt;
    const auto grown = Growth((*previous_).*field, now.*field);
    if (!grown) return std::nullopt;
    return *grown * 1e6 / static_cast<double>(now.steady_us - previous_->steady_us);
  }

  std::optional<double> Busy(const ProcSample& now) const {
    const auto user = CpuShare(now, &ProcSample::cpu_user);
    const auto system = CpuShare(now, &ProcSample::cpu_system);
    const auto steal = CpuShare(now, &ProcSample::cpu_steal);
    if (!user || !system || !steal) return std::nullopt;
    return std::min(1.0, *user + *system + *steal);
  }

  void Append(int column, const ProcSample& now, ColumnBuilder* out) const {
    const auto real = [out](std::optional<double> v) { v ? out->AppendFloat64(*v) : out->AppendNull(); };
    const auto integer = [out](bool present, int64_t v) { present ? out->AppendInt64(v) : out->AppendNull(); };
    const auto given = [](bool present, double v) { return present ? std::optional<double>(v) : std::nullopt; };
    switch (column) {
      case kAt:
        return out->AppendInt64(now.at_us);
      case kHost:
        return out->AppendString(host_);
      case kCpuUser:
        return real(CpuShare(now, &ProcSample::cpu_user));
      case kCpuSystem:
        return real(CpuShare(now, &ProcSample::cpu_system));
      case kCpuIowait:
        return real(CpuShare(now, &ProcSample::cpu_iowait));
      case kCpuSteal:
        return real(CpuShare(now, &ProcSample::cpu_steal));
      case kCpuBusy:
        return real(Busy(now));
      case kMemoryTotal:
        return integer(now.has_memory, now.memory_total);
      case kMemoryAvailable:
        return integer(now.has_memory, now.memory_available);
      case kMemoryUsedShare:
        return real(given(now.has_memory, 1 - static_cast<double>(now.memory_available) /
                                                  static_cast<double>(std::max<int64_t>(1, now.memory_total))));
      case kSwapUsed:
        return integer(now.has_memory, now.swap_used);
      case kDiskRead:
        return real(PerSecond(now, &ProcSample::has_disk, &ProcSample::disk_read));
      case kDiskWrite:
        return real(PerSecond(now, &ProcSample::has_disk, &ProcSample::disk_written));
      case kNetworkIn:
        return real(PerSecond(now, &ProcSample::has_network, &ProcSample::network_received));
      case kNetworkOut:
        return real(PerSecond(now, &ProcSample::has_network, &ProcSample::network_sent));
      case kLoad1:
        return real(given(now.has_load, now.load1));
      case kLoad5:
        return real(given(now.has_load, now.load5));
      case kLoad15:
        return real(given(now.has_load, now.load15));
      case kRunning:
        return integer(now.has_load, now.processes_running);
      default:
        return integer(now.has_load, now.processes_total);
    }
  }

  const HostOptions options_;
  const SchemaRef schema_;
  Env* env_ = nullptr;
  std::vector<int> columns_;
  std::string host_ = "localhost";
  std::optional<ProcSample> previous_;
  int64_t next_us_ = 0;
  int64_t retry_after_us_ = 20000;
};

/// Rows come finished, so there is nothing to decode.
class NoDecoder final : public Decoder {
 public:
  void Decode(const RawChunk&, DecodedBlock*) override {}
};

std::optional<BoundSource> MakeHost(const OptionsNode& options, const BindContext& bind) {
  HostOptions o;
  o.proc = ResolveOptionPath(options, bind, "proc");
  o.interval = options.GetDuration("interval");
  BoundSource bound;
  bound.bounded = false;
  bound.schema = HostSchema();
  if (bind.needed != nullptr) {
    std::vector<Field> fields;
    for (const Field& field : HostSchema()->fields())
      if (std::find(bind.needed->begin(), bind.needed->end(), field.name) != bind.needed->end())
        fields.push_back(field);
    bound.schema = std::make_shared<const Schema>(std::move(fields));
  }
  bound.explain = {{"interval", FormatDuration(o.interval)}};
  bound.make_source = [o, schema = bound.schema] { return MakeHostSource(o, schema); };
  bound.make_decoder = [] { return std::make_unique<NoDecoder>(); };
  return bound;
}

OptionSpec Option(std::string name, OptionKind kind, std::string default_text, std::string doc) {
  OptionSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.default_text = std::move(default_text);
  spec.doc = std::move(doc);
  return spec;
}

}  // namespace

SchemaRef HostSchema() {
  static const SchemaRef schema =
      std::make_shared<const Schema>(std::vector<Field>{{"at", TypeId::kTimestamp},
                                                        {"host", TypeId::kString},
                                                        {"cpu_user", TypeId::kFloat64},
                                                        {"cpu_system", TypeId::kFloat64},
                                                        {"cpu_iowait", TypeId::kFloat64},
                                                        {"cpu_steal", TypeId::kFloat64},
                                                        {"cpu_busy", TypeId::kFloat64},
                                                        {"memory_total_bytes", TypeId::kInt64},
                                                        {"memory_available_bytes", TypeId::kInt64},
                                                        {"memory_used_share", TypeId::kFloat64},
                                                        {"swap_used_bytes", TypeId::kInt64},
                                                        {"disk_read_bytes_per_s", TypeId::kFloat64},
                                                        {"disk_write_bytes_per_s", TypeId::kFloat64},
                                                        {"network_in_bytes_per_s", TypeId::kFloat64},
                                                        {"network_out_bytes_per_s", TypeId::kFloat64},
                                                        {"load1", TypeId::kFloat64},
                                                        {"load5", TypeId::kFloat64},
                                                        {"load15", TypeId::kFloat64},
                                                        {"processes_running", TypeId::kInt64},
                                                        {"processes_total", TypeId::kInt64}});
  return schema;
}

std::unique_ptr<Source> MakeHostSource(HostOptions options, SchemaRef schema) {
  return std::make_unique<HostSource>(std::move(options), std::move(schema));
}

NodeDescriptor HostDescriptor() {
  NodeDescriptor d;
  d.type = "host";
  d.kind = NodeKind::kSource;
  d.summary = "this machine's CPU, memory, disk, network and load, from /proc";
  d.doc =
      "One row per interval, for ever. Columns:\n"
      "  at timestamp; host string\n"
      "  cpu_user, cpu_system, cpu_iowait, cpu_steal, cpu_busy (user + system + steal): shares of all cores, 0 to 1\n"
      "  memory_total_bytes, memory_available_bytes, swap_used_bytes int64; memory_used_share 0 to 1\n"
      "  disk_read_bytes_per_s, disk_write_bytes_per_s: all whole disks\n"
      "  network_in_bytes_per_s, network_out_bytes_per_s: all interfaces but the loopback\n"
      "  load1, load5, load15: run-queue length over 1, 5 and 15 minutes; processes_running, processes_total int64\n"
      "\n"
      "Shares and rates are over the time since the previous row, so they are null in the first one, and when a "
      "counter fell.\n"
      "What /proc does not tell (in some containers) is null.";
  d.example = "machine:\n  type: host\n  interval: 1s\n  time: {field: at}";
  OptionSpec interval = Option("interval", OptionKind::kDuration, "1s", "Time between rows.");
  interval.min = 10000;
  interval.max = 86400e6;
  OptionSpec proc = Option("proc", OptionKind::kPath, "/proc",
                           "Where the proc file system is mounted, for containers that see the host's elsewhere.");
  d.options = {interval, proc};
  d.make_source = MakeHost;
  return d;
}

}  // namespace freshet
