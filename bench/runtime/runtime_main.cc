// What the runtime itself costs (README.md here). Each figure is the median of the rounds, which take turns: what the
// machine does meanwhile meets all configurations alike.
//   runtime_bench hops [ROUNDS]                    cost per hop and per batch
//   runtime_bench batches [ROUNDS [ROWS]]          processor time of a row in batches of 256 to 4,096 rows, or of ROWS
//   runtime_bench throughput [SECONDS [ROUNDS]]    checkpoints off, 10 s, 1 s, 200 ms; 5,000 and 1,000,000 dirty keys
//   runtime_bench latency [SECONDS [ROUNDS]]       event to output at half and nine tenths of the highest rate
//   runtime_bench pause KEYS [SECONDS]             checkpoints every second, all of that many keys changed in between
//   runtime_bench seal KEYS [ROUNDS]               processor time that a table of KEYS changed keys takes at a barrier
//   runtime_bench state KEYS [SECONDS]             checkpoints every second beside that many keys, then the recovery
// State lies below $TMPDIR (/tmp): the disk there is part of what is measured.
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/runtime/bench_nodes.h"
#include "engine/base/cpu.h"
#include "engine/batch/key_codec.h"
#include "engine/flow/tbb_runtime.h"
#include "engine/state/checkpoint_store.h"

namespace freshet::bench {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "freshet_runtime_XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double At(const std::vector<double>& sorted, double quantile) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(quantile * static_cast<double>(sorted.size())))];
}

void Require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

struct BenchCell {
  int64_t count = 0, sum = 0, least = 0, most = 0;
  void Encode(ByteSink& sink) const {
    sink.PutI64(count);
    sink.PutI64(sum);
    sink.PutI64(least);
    sink.PutI64(most);
  }
  bool Decode(ByteSource&, uint16_t) { return false; }
};

/// Of the whole process, user and system.
double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct Run {
  double rows_per_second = 0;
  double processor_ns_per_row = 0;
  int64_t checkpoints = 0;
  double interval_ms = 0;
  std::vector<double> durations_ms;  ///< ascending
  std::vector<double> pauses_ms;     ///< ascending
};

/// One run: until the table is warm, then for `seconds`. every == 0: no state at all.
Run Measure(const Load& load, int hops, bool with_table, Duration every, double seconds, const std::string& directory,
            const std::shared_ptr<Meter>& meter, double warm_seconds = 1) {
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.lane_count = 2;
  options.job.batch_row_count_max = static_cast<int32_t>(load.batch_rows);
  options.job.checkpoint_every = every.us > 0 ? every : Duration::Seconds(100000);
  if (every.us > 0) options.job.state_directory = directory;
  auto started = TbbRuntime::Start(MakeSpec(load, hops, with_table, meter), options);
  Require(started.status());
  TbbRuntime& runtime = **started;
  const auto sleep = [&](double s) { (void)runtime.Wait(Duration{static_cast<int64_t>(s * 1e6)}); };
  while (meter->rows() < load.warm_keys) sleep(0.01);
  if (load.warm_keys > 0 && every.us > 0) {
    const int64_t before = runtime.Report().checkpoint_count;
    runtime.RequestCheckpoint();
    while (runtime.Report().checkpoint_count < before + 2) sleep(0.01);
  }
  sleep(warm_seconds);
  Env* const env = Env::Posix();
  meter->Reset();
  const int64_t start = env->SteadyMicros();
  const double processor_before = ProcessorSeconds();
  const int64_t before = runtime.Report().checkpoint_count;
  int64_t known = before;
  Run run;
  while (static_cast<double>(env->SteadyMicros() - start) < seconds * 1e6) {
    sleep(0.02);
    const JobReport report = runtime.Report();
    Require(report.status);
    if (report.checkpoint_count != known)
      run.durations_ms.push_back(static_cast<double>(report.checkpoint_last_us) / 1000);
    known = report.checkpoint_count;
  }
  const double elapsed = static_cast<double>(env->SteadyMicros() - start) / 1e6;
  run.rows_per_second = static_cast<double>(meter->rows()) / elapsed;
  run.processor_ns_per_row = (ProcessorSeconds() - processor_before) * 1e9 / static_cast<double>(meter->rows());
  run.checkpoints = known - before;
  run.interval_ms = run.checkpoints > 0 ? elapsed * 1000 / static_cast<double>(run.checkpoints) : 0;
  run.pauses_ms = meter->PausesMs();
  std::sort(run.durations_ms.begin(), run.durations_ms.end());
  runtime.RequestStop();
  while (!runtime.Wait(Duration::Seconds(1))) {
  }
  Require(runtime.Finish().status);
  return run;
}

void Hops(int rounds) {
  constexpr int kHops[] = {0, 2, 8};
  for (const int64_t batch_rows : {int64_t{1}, int64_t{4096}}) {
    std::vector<double> us_per_batch[std::size(kHops)];
    for (int round = 0; round < rounds; ++round)
      for (size_t h = 0; h < std::size(kHops); ++h) {
        Load load;
        load.batch_rows = batch_rows;
        const Run run = Measure(load, kHops[h], false, {}, 1.5, "", std::make_shared<Meter>(), 0.3);
        us_per_batch[h].push_back(1e6 * static_cast<double>(batch_rows) / run.rows_per_second);
      }
    const double none = Median(us_per_batch[0]), two = Median(us_per_batch[1]), eight = Median(us_per_batch[2]);
    std::printf("batches of %lld rows: %.2f us a batch with no hop, %.2f with 2, %.2f with 8: %.0f ns a hop\n",
                static_cast<long long>(batch_rows), none, two, eight, 1000 * (eight - none) / 8);
  }
}

/// Generator, table and meter, no checkpoints: what grows when batches get smaller is the cost of a batch.
void Batches(int rounds, int64_t rows) {
  const std::vector<int64_t> sizes = rows > 0 ? std::vector{rows} : std::vector<int64_t>{256, 512, 1024, 4096};
  std::vector<std::vector<double>> ns(sizes.size());
  for (int round = 0; round < rounds; ++round)
    for (size_t b = 0; b < sizes.size(); ++b) {
      Load load;
      load.batch_rows = sizes[b];
      ns[b].push_back(Measure(load, 0, true, {}, 1.5, "", std::make_shared<Meter>(), 0.3).processor_ns_per_row);
    }
  for (size_t b = 0; b < sizes.size(); ++b)
    std::printf("batches of %lld rows: %.1f ns of processor time a row\n", static_cast<long long>(sizes[b]),
                Median(ns[b]));
}

/// All rounds of one configuration.
struct Rounds {
  std::vector<double> rates;
  std::vector<double> interval_ms;
  std::vector<double> durations_ms;
  std::vector<double> pauses_ms;
  void Add(const Run& run) {
    rates.push_back(run.rows_per_second);
    interval_ms.push_back(run.interval_ms);
    durations_ms.insert(durations_ms.end(), run.durations_ms.begin(), run.durations_ms.end());
    pauses_ms.insert(pauses_ms.end(), run.pauses_ms.begin(), run.pauses_ms.end());
    std::sort(durations_ms.begin(), durations_ms.end());
    std::sort(pauses_ms.begin(), pauses_ms.end());
  }
};

void Throughput(double seconds, int round_count) {
  constexpr int64_t kDirty[] = {5000, 1000000};
  constexpr int kEveryMs[] = {0, 10000, 1000, 200};
  for (const int64_t dirty : kDirty) {
    std::vector<Rounds> all(std::size(kEveryMs));
    // One more before the first: a process gets its memory once.
    for (int round = -1; round < round_count; ++round) {
      for (size_t i = 0; i < std::size(kEveryMs); ++i) {
        // Each round begins with another one.
        const size_t e = (i + static_cast<size_t>(round + 1)) % std::size(kEveryMs);
        const Directory directory;
        Load load;
        load.warm_keys = load.hot_keys = dirty;
        const double enough = std::max(seconds, 2.1e-3 * kEveryMs[e]);
        const Run run = Measure(load, 0, true, Duration::Millis(kEveryMs[e]), round < 0 ? 1 : enough, directory.path(),
                                std::make_shared<Meter>());
        if (round < 0) break;
        all[e].Add(run);
        std::printf("round %d: %lld dirty keys, checkpoints %d ms: %.2f M rows/s, one each %.0f ms\n", round + 1,
                    static_cast<long long>(dirty), kEveryMs[e], run.rows_per_second / 1e6, run.interval_ms);
      }
    }
    std::printf("\n| dirty keys | checkpoints | rows/s | of off | achieved | duration p50 / p99 | pause p50 / p99 |\n");
    std::printf("|---|---|---|---|---|---|---|\n");
    for (size_t e = 0; e < std::size(kEveryMs); ++e) {
      const Rounds& r = all[e];
      std::printf("| %lld | %s | %.2f M | %.1f %% | %.0f ms | %.1f / %.1f ms | %.1f / %.1f ms |\n",
                  static_cast<long long>(dirty), e == 0 ? "off" : (std::to_string(kEveryMs[e]) + " ms").c_str(),
                  Median(r.rates) / 1e6, 100 * Median(r.rates) / Median(all[0].rates), Median(r.interval_ms),
                  At(r.durations_ms, 0.5), At(r.durations_ms, 0.99), At(r.pauses_ms, 0.5), At(r.pauses_ms, 0.99));
    }
    std::printf("\n");
  }
}

void Latency(double seconds, int round_count) {
  constexpr double kShares[] = {0.5, 0.9};
  Load load;
  load.warm_keys = load.hot_keys = 5000;
  load.batch_rows = 512;
  const Duration every = Duration::Seconds(1);
  std::vector<double> rates;
  for (int round = 0; round < round_count; ++round) {
    const Directory directory;
    rates.push_back(Measure(load, 0, true, every, 4, directory.path(), std::make_shared<Meter>()).rows_per_second);
    std::printf("round %d: as many as are taken: %.2f M rows/s\n", round + 1, rates.back() / 1e6);
  }
  const double highest = Median(rates);
  std::printf("highest rate %.2f M rows/s, checkpoints every second, 5,000 keys\n", highest / 1e6);
  struct Quantiles {
    std::vector<double> p50, p99, p999, achieved;
  } all[std::size(kShares)];
  for (int round = 0; round < round_count; ++round)
    for (size_t s = 0; s < std::size(kShares); ++s) {
      const Directory directory;
      const auto meter = std::make_shared<Meter>();
      load.rate = highest * kShares[s];
      Quantiles& q = all[s];
      const Run run = Measure(load, 0, true, every, seconds, directory.path(), meter);
      q.achieved.push_back(run.rows_per_second / load.rate);
      q.p50.push_back(meter->LatencyMs(0.5));
      q.p99.push_back(meter->LatencyMs(0.99));
      q.p999.push_back(meter->LatencyMs(0.999));
      std::printf("round %d: at %.0f %%: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, %lld checkpoints, longest %.1f ms\n",
                  round + 1, 100 * kShares[s], q.p50.back(), q.p99.back(), q.p999.back(),
                  static_cast<long long>(run.checkpoints), At(run.durations_ms, 1));
    }
  for (size_t s = 0; s < std::size(kShares); ++s)
    std::printf("at %.0f %% (%.2f M rows/s, %.1f %% of the plan kept): p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n",
                100 * kShares[s], highest * kShares[s] / 1e6, Median(all[s].achieved) * 100, Median(all[s].p50),
                Median(all[s].p99), Median(all[s].p999));
}

void State(int64_t keys, double seconds) {
  const Directory directory;
  const auto meter = std::make_shared<Meter>();
  Load load;
  load.warm_keys = keys;
  load.hot_keys = 5000;
  load.rate = 200000;
  Env* const env = Env::Posix();
  const Run run = Measure(load, 0, true, Duration::Seconds(1), seconds, directory.path(), meter);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path()))
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  std::printf(
      "%lld keys, 5,000 dirty a second: duration p50 %.1f ms, p99 %.1f ms; pause p50 %.1f ms, p99 %.1f ms; every "
      "%.0f ms; peak %.0f MB\n",
      static_cast<long long>(keys), At(run.durations_ms, 0.5), At(run.durations_ms, 0.99), At(run.pauses_ms, 0.5),
      At(run.pauses_ms, 0.99), run.interval_ms, static_cast<double>(usage.ru_maxrss) / 1024);
  TbbRuntime::Options options;
  options.job.env = env;
  options.job.lane_count = 2;
  options.job.state_directory = directory.path();
  const int64_t start = env->SteadyMicros();
  auto started = TbbRuntime::Start(MakeSpec(load, 0, true, meter), options);
  Require(started.status());
  const double took = static_cast<double>(env->SteadyMicros() - start) / 1e6;
  std::printf("recovery of %.2f GB on disk: %.2f s, %.1f s a GB, %.2f M keys/s\n", static_cast<double>(bytes) / 1e9,
              took, took * 1e9 / static_cast<double>(bytes), static_cast<double>(keys) / took / 1e6);
  (*started)->StopNow();
  while (!(*started)->Wait(Duration::Seconds(1))) {
  }
  (void)(*started)->Finish();
}

/// Two million rows a second, far below what is taken: what rows wait for is the checkpoint. Keys are touched in turn,
/// so all have changed if they are no more than that.
void Pause(int64_t keys, double seconds) {
  const Directory directory;
  const auto meter = std::make_shared<Meter>();
  Load load;
  load.warm_keys = load.hot_keys = keys;
  load.batch_rows = 512;
  load.rate = 2e6;
  const Run run = Measure(load, 0, true, Duration::Seconds(1), seconds, directory.path(), meter);
  std::printf(
      "%lld dirty keys: pause p50 %.1f ms, p99 %.1f ms; latency p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms; duration p50 "
      "%.0f ms, p99 %.0f ms; every %.0f ms; %.2f M rows/s\n",
      static_cast<long long>(keys), At(run.pauses_ms, 0.5), At(run.pauses_ms, 0.99), meter->LatencyMs(0.5),
      meter->LatencyMs(0.99), meter->LatencyMs(0.999), At(run.durations_ms, 0.5), At(run.durations_ms, 0.99),
      run.interval_ms, run.rows_per_second / 1e6);
}

/// What a cell's body does for a checkpoint: all at once, or sealed and then in slices between batches that change
/// every key again. In the thread's processor time, so that a busy machine says the same.
void Seal(int64_t keys, int rounds) {
  constexpr int64_t kBatchRows = 4096;
  std::vector<double> at_once, seal, slices, batches, clean_batches;
  const auto ms = [](int64_t since_us) { return static_cast<double>(ThreadCpuMicros() - since_us) / 1000; };
  KeyedTable<BenchCell> table("cells", {});
  const auto change = [&](int64_t from, std::vector<double>* into) {
    const int64_t since = ThreadCpuMicros();
    for (int64_t k = from; k < std::min(keys, from + kBatchRows); ++k) {
      const std::string key = "user-" + std::to_string(k);
      ++table.FindOrCreate(HashKey(key), key).count;
    }
    into->push_back(ms(since));
  };
  const auto change_all = [&](std::vector<double>* into) {
    for (int64_t k = 0; k < keys; k += kBatchRows) change(k, into);
  };
  std::vector<double> warm;
  change_all(&warm);
  for (int round = 0; round < rounds; ++round) {
    EpochRows all, rows;
    const auto into = [](EpochRows* to) {
      return [to](const StateEntry& e) { to->Put(1, e.key_group, e.key, e.value); };
    };
    int64_t since = ThreadCpuMicros();
    table.DrainDirty(into(&all));
    at_once.push_back(ms(since));
    change_all(&clean_batches);
    since = ThreadCpuMicros();
    rows.Reserve(static_cast<size_t>(table.BeginDrain(into(&rows))));
    seal.push_back(ms(since));
    int64_t next = 0;
    for (bool over = false; !over;) {
      since = ThreadCpuMicros();
      over = table.DrainSome(kBatchRows);
      slices.push_back(ms(since));
      if (over) break;
      change((next += kBatchRows) % keys / kBatchRows * kBatchRows, &batches);
    }
    change_all(&warm);
  }
  for (auto* figures : {&at_once, &seal, &slices, &batches, &clean_batches})
    std::sort(figures->begin(), figures->end());
  std::printf(
      "%lld changed keys: at once %.2f ms; sealed in %.3f ms, slices p50 %.2f ms, p99 %.2f ms; batches of %lld rows "
      "p50 "
      "%.2f ms, p99 %.2f ms meanwhile, %.2f and %.2f ms else\n",
      static_cast<long long>(keys), At(at_once, 0.5), At(seal, 0.5), At(slices, 0.5), At(slices, 0.99),
      static_cast<long long>(kBatchRows), At(batches, 0.5), At(batches, 0.99), At(clean_batches, 0.5),
      At(clean_batches, 0.99));
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) {
  const auto number = [&](int i, double otherwise) { return argc > i ? std::atof(argv[i]) : otherwise; };
  const std::string what = argc > 1 ? argv[1] : "";
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // also into a file or a pipe: each line when it is known
  std::printf("%s\n", FRESHET_BENCH_FLAGS);
  if (what == "hops")
    freshet::bench::Hops(static_cast<int>(number(2, 5)));
  else if (what == "batches")
    freshet::bench::Batches(static_cast<int>(number(2, 5)), static_cast<int64_t>(number(3, 0)));
  else if (what == "throughput")
    freshet::bench::Throughput(number(2, 6), static_cast<int>(number(3, 3)));
  else if (what == "latency")
    freshet::bench::Latency(number(2, 8), static_cast<int>(number(3, 3)));
  else if (what == "pause" && argc > 2)
    freshet::bench::Pause(static_cast<int64_t>(number(2, 0)), number(3, 15));
  else if (what == "seal" && argc > 2)
    freshet::bench::Seal(static_cast<int64_t>(number(2, 0)), static_cast<int>(number(3, 9)));
  else if (what == "state" && argc > 2)
    freshet::bench::State(static_cast<int64_t>(number(2, 0)), number(3, 15));
  else
    std::printf("runtime_bench hops|batches|throughput|latency|pause KEYS|seal KEYS|state KEYS\n");
  return 0;
}
