#include "connectors/stdin/stdin_source.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "connectors/format/record_reader.h"
#include "engine/base/bytes.h"
#include "engine/base/log.h"

namespace freshet {
namespace {

constexpr int kWaitMillis = 100;

class StdinSource final : public Source {
 public:
  StdinSource(SourceFormat format, int descriptor) : format_(std::move(format)), descriptor_(descriptor) {}

  Status Open(const SourceOpenContext& ctx) override {
    int64_t offset = 0;
    int64_t record = 0;
    if (!ctx.restored.empty() && !ctx.restored.front().position.empty()) {
      ByteSource source(ctx.restored.front().position);
      offset = source.GetI64();
      record = source.GetI64();
      if (!source.ok())
        return Status::DataLoss("the saved position of standard input cannot be read; start over with --fresh");
      Log(LogLevel::kWarning, "standard input cannot be read again: going on with what comes now",
          {{"bytes read before", std::to_string(offset)}});
    }
    base_offset_ = offset;
    // A new stream: it begins at its own first byte, with its own header.
    records_ = std::make_unique<RecordReader>(&format_, "standard input", 0, record, 0);
    return Status::Ok();
  }

  std::vector<std::string> Partitions() const override { return {"stdin"}; }

  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    *chunk = RawChunk();
    if (done_) return PollOutcome::kEnd;
    may_wait_ = true;
    const auto read = [this](char* into, int64_t size) { return Read(into, size); };
    FRESHET_ASSIGN_OR_RETURN(RecordReader::Outcome outcome, records_->Next(budget, read, ended_, chunk));
    if (outcome == RecordReader::Outcome::kDry && !ended_) return PollOutcome::kNothing;
    // The end was met in that call: what is left is whole now.
    if (outcome == RecordReader::Outcome::kDry && !records_->drained())
      FRESHET_RETURN_IF_ERROR(records_->Next(budget, read, true, chunk).status());
    done_ = ended_ && records_->drained();
    chunk->partition_end = done_;
    ByteSink position;
    position.PutI64(base_offset_ + records_->offset());
    position.PutI64(records_->record());
    chunk->position_after = position.Take();
    return PollOutcome::kChunk;
  }

  int64_t retry_after_us() const override { return 1000; }  // Read has waited already
  void Interrupt() override { interrupted_.store(true, std::memory_order_relaxed); }
  void Resume() override { interrupted_.store(false, std::memory_order_relaxed); }

 private:
  /// Waits for the first byte only: what has come is handed out rather than held until a chunk is full.
  Result<int64_t> Read(char* into, int64_t size) {
    if (ended_) return int64_t{0};
    pollfd waiting{descriptor_, POLLIN, 0};
    const bool wait = std::exchange(may_wait_, false) && !interrupted_.load(std::memory_order_relaxed);
    const int ready = ::poll(&waiting, 1, wait ? kWaitMillis : 0);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return int64_t{0};
    if (ready < 0) return Status::FromErrno(errno, "cannot wait for standard input");
    const ssize_t n = ::read(descriptor_, into, static_cast<size_t>(size));
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) return int64_t{0};
      return Status::FromErrno(errno, "cannot read standard input");
    }
    ended_ = n == 0;
    return static_cast<int64_t>(n);
  }

  const SourceFormat format_;
  const int descriptor_;
  std::unique_ptr<RecordReader> records_;
  int64_t base_offset_ = 0;
  bool may_wait_ = false;
  bool ended_ = false;
  bool done_ = false;
  std::atomic<bool> interrupted_{false};
};

std::optional<BoundSource> BindStdin(const OptionsNode& options, const BindContext& bind) {
  std::optional<SourceFormat> format = BindSourceFormat(options, bind, ".ndjson");
  if (!format) return std::nullopt;
  BoundSource bound;
  bound.schema = format->schema->columns;
  bound.bounded = true;
  bound.stays_open = true;
  bound.pushes = true;
  bound.explain = format->explain;
  bound.explain.emplace_back("delivery", "at least once: standard input cannot be read again");
  bound.make_decoder = format->make_decoder;
  bound.make_source = [f = *format] { return MakeStdinSource(f); };
  return bound;
}

}  // namespace

std::unique_ptr<Source> MakeStdinSource(SourceFormat format, int descriptor) {
  return std::make_unique<StdinSource>(std::move(format), descriptor);
}

NodeDescriptor StdinSourceDescriptor() {
  NodeDescriptor d;
  d.type = "stdin";
  d.kind = NodeKind::kSource;
  d.summary = "reads csv or ndjson from standard input";
  d.doc =
      "Reads records from a pipe until it ends: `zcat edits.gz | freshet run edits.yaml`. By default ndjson. What was "
      "read\n"
      "cannot be read again: after a restart the source goes on with what comes then, so delivery is at least once at "
      "best.\n"
      "Dead letters are those of `file`.";
  d.example = "edits:\n  type: stdin\n  format: ndjson\n  schema: {time: timestamp, page: string, added: int64}";
  d.options = SourceFormatOptions();
  d.output_names = {"dead_letter"};
  d.make_source = BindStdin;
  return d;
}

}  // namespace freshet
