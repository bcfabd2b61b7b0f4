// The rival of Freshet's ingest: a bare simdjson on-demand loop over the same file, one thread, no Freshet code.
// It reads 5 of 9 fields of each record, line by line, filters and sums, so that nothing can be optimised away.
//   ingest_loop_native_bench FILE [ROUNDS]
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

namespace {

struct Sums {
  uint64_t records = 0;
  uint64_t passed = 0;
  int64_t views = 0;
  int64_t times = 0;
  double seconds = 0;
  uint64_t key_bytes = 0;
};

/// Processor time of this thread: the machine may have other work.
double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

bool ReadRecord(simdjson::ondemand::parser& parser, const char* line, size_t size, size_t capacity, Sums* sums) {
  simdjson::ondemand::document record;
  if (parser.iterate(line, size, capacity).get(record)) return false;
  int64_t time = 0, views = 0;
  double seconds = 0;
  std::string_view video, device;
  if (record["time"].get(time) || record["video_id"].get(video) || record["device"].get(device) ||
      record["views"].get(views) || record["watch_seconds"].get(seconds))
    return false;
  ++sums->records;
  sums->times += time;
  if (device != "tv") return true;
  ++sums->passed;
  sums->views += views;
  sums->seconds += seconds;
  sums->key_bytes += video.size();
  return true;
}

/// Seconds of wall time to read the file in pieces of 256 KiB, as any program must that does not find it in its memory.
double ReadingSeconds(const char* path) {
  static char piece[256 << 10];
  timespec from{}, to{};
  clock_gettime(CLOCK_MONOTONIC, &from);
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) return 0;
  std::setvbuf(file, nullptr, _IONBF, 0);
  while (std::fread(piece, 1, sizeof piece, file) > 0) {
  }
  std::fclose(file);
  clock_gettime(CLOCK_MONOTONIC, &to);
  return static_cast<double>(to.tv_sec - from.tv_sec) + static_cast<double>(to.tv_nsec - from.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FILE [ROUNDS]\n", argv[0]);
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  std::printf("bare on-demand loop, %s, simdjson %s (%s)\n", FRESHET_BENCH_FLAGS, SIMDJSON_STRINGIFY(SIMDJSON_VERSION),
              simdjson::builtin_implementation()->name().c_str());
  std::vector<double> rates;
  uint64_t record_count = 1;
  for (int round = 0; round < rounds; ++round) {
    simdjson::padded_string file;
    if (simdjson::padded_string::load(argv[1]).get(file)) {
      std::fprintf(stderr, "cannot read %s\n", argv[1]);
      return 1;
    }
    simdjson::ondemand::parser parser;
    Sums sums;
    uint64_t errors = 0;
    const double start = Seconds();
    const char* const end = file.data() + file.size();
    for (const char* p = file.data(); p < end;) {
      const char* const found = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
      const char* const line_end = found != nullptr ? found : end;
      errors += ReadRecord(parser, p, static_cast<size_t>(line_end - p),
                           static_cast<size_t>(end - p) + simdjson::SIMDJSON_PADDING, &sums)
                    ? 0
                    : 1;
      p = line_end + 1;
    }
    const double took = Seconds() - start;
    record_count = sums.records;
    rates.push_back(static_cast<double>(sums.records) / took);
    std::printf("round %d: %.2f M records/s (%llu records, %llu pass, views %lld, seconds %.3f, %llu errors)\n", round,
                rates.back() / 1e6, static_cast<unsigned long long>(sums.records),
                static_cast<unsigned long long>(sums.passed), static_cast<long long>(sums.views), sums.seconds,
                static_cast<unsigned long long>(errors));
  }
  std::sort(rates.begin(), rates.end());
  const double median = rates[rates.size() / 2];
  const double with_reading = 1 / (1 / median + ReadingSeconds(argv[1]) / static_cast<double>(record_count));
  std::printf("median: %.3f M records/s, %.3f with reading the file\n", median / 1e6, with_reading / 1e6);
  return 0;
}
