#include "connectors/file/file_source.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "connectors/file/file_reader.h"
#include "engine/base/log.h"

namespace freshet {
namespace {

constexpr int64_t kGlobEveryUs = 1000000;

bool IsPattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

class FileSource final : public Source {
 public:
  FileSource(FileSourceOptions options, SourceFormat format)
      : options_(std::move(options)), format_(std::move(format)) {}

  Status Open(const SourceOpenContext& ctx) override {
    FRESHET_RETURN_IF_ERROR(TakeUp(ctx));
    for (Partition& partition : partitions_) {
      const Result<FileInfo> info = env_->Stat(partition.name);
      partition.file_bytes = info.ok() ? info->size : 0;
      total_bytes_ += partition.file_bytes;
    }
    return Status::Ok();
  }

  Result<bool> HasMore(const SourceOpenContext& ctx) override {
    FRESHET_RETURN_IF_ERROR(TakeUp(ctx));
    return std::any_of(partitions_.begin(), partitions_.end(), [&](const Partition& p) {
      const Result<FileInfo> info = env_->Stat(p.name);
      if (!info.ok()) return false;
      if (!p.restored) return true;
      return info->size > (p.restored_ended ? p.restored->file_bytes : std::min(p.restored->offset, info->size - 1));
    });
  }

  std::vector<std::string> Partitions() const override {
    std::vector<std::string> names;
    for (const Partition& partition : partitions_) names.push_back(partition.name);
    return names;
  }

  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    *chunk = RawChunk();
    if (options_.by_time) return PollByTime(budget, chunk);
    return options_.follow ? PollFollowing(budget, chunk) : PollInTurn(budget, chunk);
  }

  std::optional<std::vector<uint32_t>> TakeQuiet() override {
    if (!options_.follow) return std::nullopt;
    return std::exchange(quiet_, {});
  }

  std::optional<double> ProgressRatio() const override {
    if (options_.follow || total_bytes_ == 0) return std::nullopt;
    return std::min(
        1.0, static_cast<double>(read_bytes_.load(std::memory_order_relaxed)) / static_cast<double>(total_bytes_));
  }

  void Close() noexcept override { partitions_.clear(); }

 private:
  struct Partition {
    std::string name;
    std::optional<FilePosition> restored;
    bool restored_ended = false;
    std::string restored_text;  ///< as it stands in the checkpoint
    std::unique_ptr<FileReader> reader;
    bool done = false;  ///< read to its end
    int64_t file_bytes = 0;
    int64_t read_bytes = 0;
  };

  Status TakeUp(const SourceOpenContext& ctx) {
    env_ = ctx.env != nullptr ? ctx.env : Env::Posix();
    for (const PartitionPosition& restored : ctx.restored) {
      Partition& partition = AddPartition(restored.name);
      partition.restored_ended = restored.ended;
      partition.restored_text = restored.position;
      if (restored.position.empty()) continue;
      partition.restored = FilePosition::Decode(restored.position);
      if (!partition.restored)
        return Status::DataLoss("the saved position of " + restored.name + " cannot be read; start over with --fresh");
    }
    return FindFiles();
  }

  Partition& AddPartition(const std::string& name) {
    partitions_.emplace_back();
    partitions_.back().name = name;
    return partitions_.back();
  }

  bool Knows(const std::string& name) const {
    return std::any_of(partitions_.begin(), partitions_.end(), [&](const Partition& p) { return p.name == name; });
  }

  /// Adds files that are not partitions yet, by name.
  Status FindFiles() {
    std::vector<std::string> names;
    for (const std::string& path : options_.paths) {
      if (!IsPattern(path)) {
        if (const Result<FileInfo> info = env_->Stat(path); !info.ok() && !Knows(path))
          return Missing(path, info.status());
        names.push_back(path);
        continue;
      }
      FRESHET_ASSIGN_OR_RETURN(const std::vector<std::string> found, env_->Glob(path));
      if (found.empty() && !options_.follow && partitions_.empty())
        return Missing(path, Status::NotFound("no file matches"));
      names.insert(names.end(), found.begin(), found.end());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names)
      if (!Knows(name)) AddPartition(name);
    return Status::Ok();
  }

  Status Missing(const std::string& path, const Status& status) const {
    if (status.code() != StatusCode::kNotFound) return status;
    const std::string what = IsPattern(path) ? "no file matches " + path : "there is no file " + path;
    return Status::NotFound(what + "; correct `path` of source `" + options_.node_id + "` or give --set sources." +
                            options_.node_id + ".path=FILE");
  }

  Result<PollOutcome> PollInTurn(const PollBudget& budget, RawChunk* chunk) {
    for (; current_ < partitions_.size(); ++current_) {
      FRESHET_ASSIGN_OR_RETURN(const bool any, ReadOn(current_, budget, chunk));
      if (any) return PollOutcome::kChunk;
    }
    return PollOutcome::kEnd;
  }

  Result<PollOutcome> PollByTime(const PollBudget& budget, RawChunk* chunk) {
    if (budget.partition < 0) return PollOutcome::kEnd;
    const auto index = static_cast<size_t>(budget.partition);
    FRESHET_ASSIGN_OR_RETURN(const bool any, ReadOn(index, budget, chunk));
    return any ? PollOutcome::kChunk : PollOutcome::kEnd;
  }

  /// It had been read to its end when the state was saved: tells so again.
  void GiveEnd(size_t index, RawChunk* chunk) const {
    chunk->partition = static_cast<uint32_t>(index);
    chunk->partition_end = true;
    chunk->position_after = partitions_[index].restored_text;
    chunk->finished = std::make_shared<DecodedBlock>();
    for (const Field& field : format_.schema->columns->fields())
      chunk->finished->columns.push_back(NullColumn(field.type, 0));
  }

  /// False: the file has nothing (more).
  Result<bool> ReadOn(size_t index, const PollBudget& budget, RawChunk* chunk) {
    Partition& partition = partitions_[index];
    if (partition.done) return false;
    if (partition.reader == nullptr) {
      if (partition.restored_ended && Unchanged(partition)) {
        Finish(&partition);
        GiveEnd(index, chunk);
        return true;
      }
      auto reader = std::make_unique<FileReader>(env_, &format_, partition.name, false);
      if (Status status = reader->Open(partition.restored); !status.ok()) return Missing(partition.name, status);
      partition.reader = std::move(reader);
    }
    FRESHET_ASSIGN_OR_RETURN(const FileReader::Outcome outcome, partition.reader->Next(budget, chunk));
    if (outcome != FileReader::Outcome::kChunk) {
      Finish(&partition);
      return false;
    }
    chunk->partition = static_cast<uint32_t>(index);
    CountRead(&partition, partition.reader->file_bytes_read());
    if (chunk->partition_end) Finish(&partition);
    return true;
  }

  void Finish(Partition* partition) {
    partition->reader.reset();
    partition->done = true;
    CountRead(partition, partition->file_bytes);
  }
  void CountRead(Partition* partition, int64_t bytes) {
    read_bytes_.fetch_add(bytes - std::exchange(partition->read_bytes, bytes), std::memory_order_relaxed);
  }

  /// A file that was read to its end before the restore and has not grown since, or is gone.
  bool Unchanged(const Partition& partition) const {
    const Result<FileInfo> info = env_->Stat(partition.name);
    return !info.ok() || (partition.restored && info->size == partition.restored->file_bytes);
  }

  Result<PollOutcome> PollFollowing(const PollBudget& budget, RawChunk* chunk) {
    if (const int64_t now = env_->SteadyMicros(); now >= next_glob_us_) {
      next_glob_us_ = now + kGlobEveryUs;
      if (std::any_of(options_.paths.begin(), options_.paths.end(), IsPattern)) FRESHET_RETURN_IF_ERROR(FindFiles());
    }
    for (size_t tried = 0; tried < partitions_.size(); ++tried) {
      const size_t index = next_++ % partitions_.size();
      Partition& partition = partitions_[index];
      if (partition.reader == nullptr) {
        auto reader = std::make_unique<FileReader>(env_, &format_, partition.name, true);
        if (Status status = reader->Open(partition.restored); !status.ok()) {
          if (status.code() != StatusCode::kNotFound) return status;
          quiet_.push_back(static_cast<uint32_t>(index));  // gone for now; it may come back
          continue;
        }
        partition.reader = std::move(reader);
      }
      FRESHET_ASSIGN_OR_RETURN(const FileReader::Outcome outcome, partition.reader->Next(budget, chunk));
      if (outcome != FileReader::Outcome::kChunk) {
        quiet_.push_back(static_cast<uint32_t>(index));
        continue;
      }
      chunk->partition = static_cast<uint32_t>(index);
      return PollOutcome::kChunk;
    }
    return PollOutcome::kNothing;
  }

  const FileSourceOptions options_;
  const SourceFormat format_;
  Env* env_ = nullptr;
  std::vector<Partition> partitions_;
  size_t current_ = 0;
  size_t next_ = 0;
  int64_t next_glob_us_ = 0;
  int64_t total_bytes_ = 0;
  std::vector<uint32_t> quiet_;  // following: asked since the last TakeQuiet, and had nothing
  std::atomic<int64_t> read_bytes_{0};
};

/// Paths of the command line are relative to the current directory, others to the pipeline file (SEMANTICS.md §8.4).
std::string Resolve(const SpannedText& path, const BindContext& bind) {
  const bool from_command_line = path.span.text != nullptr && path.span.text->name.starts_with("--");
  return from_command_line ? path.value : ResolvePath(bind.directory, path.value);
}

std::optional<BoundSource> BindFile(const OptionsNode& options, const BindContext& bind) {
  FileSourceOptions o;
  o.node_id = bind.node_id;
  for (const SpannedText& path : options.GetList("path")) o.paths.push_back(Resolve(path, bind));
  o.follow = options.GetBool("follow");
  o.by_time = options.GetString("read") == "by_time";
  if (o.by_time && o.follow) {
    bind.diagnostics->Error("FR2420", options.span("read"),
                            "`read: by_time` merges files that end; a followed one may always have an older row",
                            "drop `read` or `follow: true`");
    return std::nullopt;
  }
  if (o.paths.empty()) return std::nullopt;  // `path` is required and has been reported
  std::optional<SourceFormat> format = BindSourceFormat(options, bind, o.paths.front());
  if (!format) return std::nullopt;
  BoundSource bound;
  bound.schema = format->schema->columns;
  bound.bounded = !o.follow;
  bound.interleaves = o.follow && (o.paths.size() > 1 || o.paths.front().find_first_of("*?[") != std::string::npos);
  for (const std::string& path : o.paths) {
    const Result<FileInfo> info = (bind.env != nullptr ? bind.env : Env::Posix())->Stat(path);
    bound.stays_open = bound.stays_open || (info.ok() && !info->is_regular && !info->is_directory);
  }
  bound.explain = format->explain;
  bound.explain.emplace_back(
      "path", o.paths.front() + (o.paths.size() > 1 ? " and " + std::to_string(o.paths.size() - 1) + " more" : ""));
  if (o.follow) bound.explain.emplace_back("follow", "true");
  if (o.by_time) bound.explain.emplace_back("read", "by time: files side by side, merged");
  bound.by_time = o.by_time;
  bound.make_decoder = format->make_decoder;
  bound.make_source = [o, f = *format] { return MakeFileSource(o, f); };
  return bound;
}

}  // namespace

std::unique_ptr<Source> MakeFileSource(FileSourceOptions options, SourceFormat format) {
  return std::make_unique<FileSource>(std::move(options), std::move(format));
}

NodeDescriptor FileSourceDescriptor() {
  NodeDescriptor d;
  d.type = "file";
  d.kind = NodeKind::kSource;
  d.summary = "reads csv or ndjson files, plain, gzip or zstd, once or following them";
  d.doc =
      "Reads one file, a list of files or all that match a pattern, plain or packed with gzip or zstd (told by "
      "content).\n"
      "Files are partitions, read one after another by name, or with `read: by_time` side by side and merged by time\n"
      "(rows wait until all files have passed them; 1 MiB for each file). With `follow: true` the source waits for "
      "more, reads a "
      "rotated\n"
      "file to its end before its successor, begins a file that was cut anew, and never ends.\n"
      "A record that cannot be used goes to `dead_letter` with its line, the reason and its bytes: torn_json, "
      "torn_csv,\n"
      "wrong_type, invalid_utf8, line_too_long, missing and extra fields. Columns that a record lacks are null; in csv "
      "an\n"
      "empty field is null. Positions are (inode, fingerprint, offset, record): exactly once after a restart.\n"
      "Memory: two chunks of 256 KiB, or the longest record allowed.";
  d.example =
      "edits:\n  type: file\n  path: edits.ndjson.gz\n  format: ndjson\n  schema: {time: timestamp, page: string, "
      "added: int64}\n"
      "  time: {field: time, lateness: 60s}";
  OptionSpec path;
  path.name = "path";
  path.kind = OptionKind::kPathList;
  path.required = true;
  path.doc = "A file, a pattern such as logs/*.ndjson.gz, or a list of them; relative to the pipeline file.";
  OptionSpec read;
  read.name = "read";
  read.kind = OptionKind::kEnum;
  read.enum_values = {"sequential", "by_time"};
  read.default_text = "sequential";
  read.doc = "How several files are read: one after another by name, or merged by time.";
  read.state = StateEffect::kBreaking;
  OptionSpec follow;
  follow.name = "follow";
  follow.kind = OptionKind::kBool;
  follow.default_text = "false";
  follow.doc = "Wait for more at the end of a plain file, through truncation and rotation.";
  d.options = {path};
  for (OptionSpec& option : SourceFormatOptions()) d.options.push_back(std::move(option));
  d.options.push_back(read);
  d.options.push_back(follow);
  d.output_names = {"dead_letter"};
  d.make_source = BindFile;
  return d;
}

}  // namespace freshet
