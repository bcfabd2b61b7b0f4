// Decoding alone: the ndjson decoder over a file, chunk by chunk as the file source cuts it, one thread. Also makes the
// file that the ingest benchmarks read: 9 fields, about 159 bytes a record, 5,000 keys, 25 % with device "tv".
//   ingest_decode_bench --generate FILE [RECORDS]
//   ingest_decode_bench FILE [ROUNDS] [--dom]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "connectors/file/file_source.h"
#include "engine/base/rng.h"

namespace freshet {
namespace {

constexpr int kKeyCount = 5000;

int Generate(const char* path, int64_t records) {
  std::FILE* const out = std::fopen(path, "wb");
  if (out == nullptr) return std::fprintf(stderr, "cannot write %s\n", path), 1;
  Rng rng(1);
  const char* const countries[] = {"DE", "US", "FR", "BR", "IN", "JP", "GB", "KE"};
  const char* const devices[] = {"tv", "web", "ios", "app"};
  int64_t bytes = 0;
  for (int64_t i = 0; i < records; ++i) {
    const auto key = static_cast<int>(rng.Below(kKeyCount));
    bytes += std::fprintf(
        out,
        "{\"time\":%lld,\"video_id\":\"v%07d\",\"channel\":\"c%04d\",\"country\":\"%s\",\"device\":\"%s\",\"views\":%d,"
        "\"watch_seconds\":%.2f,\"status\":%d,\"session\":\"%04llx\"}\n",
        static_cast<long long>(1700000000000 + i / 100), key, key / 10, countries[rng.Below(8)], devices[rng.Below(4)],
        static_cast<int>(rng.Below(100000)), rng.NextDouble() * 600, rng.Below(50) == 0 ? 500 : 200,
        static_cast<unsigned long long>(rng.Below(65536)));
  }
  if (std::fclose(out) != 0) return 1;
  std::printf("%lld records, %.1f bytes each\n", static_cast<long long>(records),
              static_cast<double>(bytes) / static_cast<double>(records));
  return 0;
}

SourceFormat Format(bool speculate) {
  const std::pair<const char*, TypeId> columns[] = {{"time", TypeId::kTimestamp},
                                                    {"video_id", TypeId::kString},
                                                    {"device", TypeId::kString},
                                                    {"views", TypeId::kInt64},
                                                    {"watch_seconds", TypeId::kFloat64}};
  auto schema = std::make_shared<SourceSchema>();
  std::vector<Field> fields;
  for (const auto& [name, type] : columns) {
    SourceField field;
    field.name = name;
    field.type = type;
    field.path = {name};
    field.column = static_cast<int>(fields.size());
    fields.push_back({name, type});
    schema->fields.push_back(field);
  }
  schema->columns = std::make_shared<const Schema>(fields);
  SourceFormat format;
  format.name = "ndjson";
  format.schema = schema;
  format.record_bytes_max = kRecordBytesMaxDefault;
  format.splitter = MakeLineSplitter();
  format.make_decoder = [o = NdjsonOptions{schema, kRecordBytesMaxDefault, speculate}] { return MakeNdjsonDecoder(o); };
  return format;
}

struct Round {
  double decode_seconds = 0;
  double all_seconds = 0;
  int64_t rows = 0;
  int64_t dead = 0;
  int64_t views = 0;
};

/// Processor time of this thread: the machine may have other work.
double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

bool Run(const char* path, bool speculate, Round* round) {
  const SourceFormat format = Format(speculate);
  const std::unique_ptr<Source> source = MakeFileSource({{path}, false, "bench"}, format);
  const std::unique_ptr<Decoder> decoder = format.make_decoder();
  SourceOpenContext context;
  context.env = Env::Posix();
  if (const Status status = source->Open(context); !status.ok())
    return std::fprintf(stderr, "%s\n", status.message().c_str()), false;
  const double start = Seconds();
  for (;;) {
    RawChunk chunk;
    const Result<PollOutcome> outcome = source->Poll({kSourceCreditRows, kSourceCreditBytes}, &chunk);
    if (!outcome.ok()) return std::fprintf(stderr, "%s\n", outcome.status().message().c_str()), false;
    if (*outcome == PollOutcome::kEnd) break;
    DecodedBlock block;
    const double before = Seconds();
    decoder->Decode(chunk, &block);
    round->decode_seconds += Seconds() - before;
    round->rows += block.row_count;
    round->dead += static_cast<int64_t>(block.dead.size());
    for (int32_t row = 0; row < block.row_count; ++row)
      if (block.columns[2].StringAt(row) == "tv") round->views += block.columns[3].int64s()[row];
  }
  round->all_seconds = Seconds() - start;
  return true;
}

int Main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--generate") == 0)
    return Generate(argv[2], argc > 3 ? std::atoll(argv[3]) : 2000000);
  if (argc < 2)
    return std::fprintf(stderr, "usage: %s FILE [ROUNDS] [--dom] | --generate FILE [RECORDS]\n", argv[0]), 2;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const bool speculate = argc < 4 || std::strcmp(argv[3], "--dom") != 0;
  std::printf("ndjson decoder%s, %s\n", speculate ? "" : " (DOM alone)", FRESHET_BENCH_FLAGS);
  std::vector<double> decode, all;
  for (int i = 0; i < rounds; ++i) {
    Round round;
    if (!Run(argv[1], speculate, &round)) return 1;
    decode.push_back(static_cast<double>(round.rows) / round.decode_seconds);
    all.push_back(static_cast<double>(round.rows) / round.all_seconds);
    std::printf("round %d: decode %.2f, with reading %.2f M records/s (%lld rows, %lld dead, views %lld)\n", i,
                decode.back() / 1e6, all.back() / 1e6, static_cast<long long>(round.rows),
                static_cast<long long>(round.dead), static_cast<long long>(round.views));
  }
  std::sort(decode.begin(), decode.end());
  std::sort(all.begin(), all.end());
  std::printf("median: decode %.3f, with reading %.3f M records/s\n", decode[decode.size() / 2] / 1e6,
              all[all.size() / 2] / 1e6);
  return 0;
}

}  // namespace
}  // namespace freshet

int main(int argc, char** argv) { return freshet::Main(argc, argv); }
