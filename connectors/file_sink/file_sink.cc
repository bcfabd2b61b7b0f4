#include "connectors/file_sink/file_sink.h"

#include <algorithm>
#include <utility>

#include "connectors/file_sink/gzip_writer.h"
#include "connectors/file_sink/option_path.h"
#include "engine/base/units.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace freshet {
namespace {

constexpr uint8_t kStateVersion = 1;
constexpr size_t kTailBytes = 4096;
constexpr size_t kAppendBytes = 64 << 10;  // rows are handed to the file in pieces of about this size

/// What a recovery needs to know: the frozen layout of PrepareCommit's answer.
struct Committed {
  std::string path;
  int64_t length = 0;       ///< bytes
  int64_t tail_length = 0;  ///< bytes at the end that `tail_hash` covers
  uint64_t tail_hash = 0;
  bool in_part = false;  ///< the rows were still in PATH.part
  RowHash rows;

  std::string Encode() const {
    ByteSink sink;
    sink.PutU8(kStateVersion);
    sink.PutString(path);
    sink.PutI64(length);
    sink.PutI64(tail_length);
    sink.PutU64(tail_hash);
    sink.PutBool(in_part);
    rows.Encode(&sink);
    return sink.Take();
  }
  static Result<Committed> Decode(std::string_view bytes) {
    ByteSource source(bytes);
    Committed c;
    const uint8_t version = source.GetU8();
    c.path = source.GetString();
    c.length = source.GetI64();
    c.tail_length = source.GetI64();
    c.tail_hash = source.GetU64();
    c.in_part = source.GetBool();
    c.rows.Decode(&source);
    if (!source.ok() || version != kStateVersion)
      return Status::DataLoss("the file sink's committed position cannot be read");
    return c;
  }
};

class FileSink final : public Sink {
 public:
  explicit FileSink(FileSinkOptions options) : options_(std::move(options)), writers_(options_.format) {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    if (options_.stream) return OpenStream();
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(DirectoryOf(options_.path)));
    const bool restored = ctx.restored_epoch.number > 0 && !ctx.committed.empty();
    return restored ? Recover(ctx.committed) : OpenFresh(ctx.fresh_forced ? IfExists::kReplace : options_.if_exists);
  }

  Status Write(const Batch& batch, int64_t) override {
    FRESHET_RETURN_IF_ERROR(Status(broken_));
    const RowWriter& writer = writers_.For(batch.schema());
    if (header_due_) {
      writer.AppendHeader(&text_);
      header_due_ = false;
    }
    while (rows_taken_ < batch.row_count()) {
      writer.AppendRow(batch, rows_taken_++, &text_);
      if (text_.size() >= kAppendBytes) FRESHET_RETURN_IF_ERROR(AppendText());
    }
    FRESHET_RETURN_IF_ERROR(AppendText());
    if (options_.stream) FRESHET_RETURN_IF_ERROR(Guard(file_->Flush()));
    rows_taken_ = 0;
    rows_.Add(batch);
    return Status::Ok();
  }

  Result<std::string> PrepareCommit(Epoch) override {
    FRESHET_RETURN_IF_ERROR(Status(broken_));
    FRESHET_RETURN_IF_ERROR(FinishMember());
    if (options_.stream) {
      FRESHET_RETURN_IF_ERROR(Guard(file_->Flush()));
    } else {
      FRESHET_RETURN_IF_ERROR(SyncIfChanged());
    }
    Committed c;
    c.path = options_.path;
    c.length = file_->size();
    c.tail_length = static_cast<int64_t>(std::min(tail_.size(), kTailBytes));
    c.tail_hash = TailHash(c.tail_length);
    c.in_part = in_part_;
    c.rows = rows_;
    return c.Encode();
  }

  Status Commit(Epoch) override { return Publish(); }

  Status Finish() override {
    FRESHET_RETURN_IF_ERROR(FinishMember());
    FRESHET_RETURN_IF_ERROR(Guard(file_->Flush()));
    return Publish();
  }

  void Close() noexcept override {
    if (file_) (void)file_->Close();
    file_.reset();
    locks_.clear();
  }

  std::string Summary() const override {
    return "wrote " + FormatCount(rows_.row_count()) + " rows to " + options_.path + ", hash " + rows_.ToString();
  }

 private:
  std::string PartPath() const { return options_.path + ".part"; }
  std::string AppendNotePath() const { return options_.path + ".append"; }
  /// What is at a path, nothing if there is nothing; failing to look is not the same as nothing.
  Result<std::optional<FileInfo>> Look(const std::string& path) const {
    Result<FileInfo> info = env_->Stat(path);
    if (info.ok()) return std::optional<FileInfo>(info.value());
    if (info.status().code() == StatusCode::kNotFound) return std::optional<FileInfo>();
    return std::move(info).status();
  }

  /// After an error that another attempt cannot mend nothing more is written.
  Status Guard(Status status) {
    if (status.retry() == RetryHint::kNever && broken_.ok()) broken_ = status;
    return status;
  }

  Status Lock(const std::string& path) {
    auto lock = env_->Lock(path);
    if (!lock.ok()) {
      Status status = std::move(lock).status();
      if (status.code() != StatusCode::kLocked) return status;
      return Status::Locked(options_.path + " is being written by another process; stop it or choose another path");
    }
    locks_.push_back(std::move(lock).value());
    return Status::Ok();
  }

  Status OpenStream() {
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(options_.path == "-" ? "/dev/stdout" : options_.path));
    header_due_ = true;
    return Status::Ok();
  }

  Status OpenFresh(IfExists if_exists) {
    FRESHET_ASSIGN_OR_RETURN(const std::optional<FileInfo> found, Look(options_.path));
    if (found && found->is_directory)
      return Status::InvalidArgument(options_.path + " is a directory; give the path of a file");
    const bool occupied = found && found->size > 0;
    if (occupied && if_exists == IfExists::kFail)
      return Status::AlreadyExists(
          options_.path +
          " exists and this pipeline has no state about it; move it away, run with --fresh, or set "
          "`if_exists: append` or `if_exists: replace`");
    if (occupied && if_exists == IfExists::kAppend) return OpenAppend(found->size);
    // Locking creates the file; truncating comes after, so that another writer's rows are safe.
    if (found) FRESHET_RETURN_IF_ERROR(Lock(options_.path));
    FRESHET_RETURN_IF_ERROR(Lock(PartPath()));
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(PartPath(), 0));
    in_part_ = true;
    header_due_ = true;
    directory_changed_ = true;
    return Status::Ok();
  }

  Status OpenAppend(int64_t size) {
    FRESHET_RETURN_IF_ERROR(Lock(options_.path));
    int64_t base = size;
    FRESHET_ASSIGN_OR_RETURN(const std::optional<FileInfo> note_file, Look(AppendNotePath()));
    if (note_file) {  // an earlier run appended and died before its first commit
      FRESHET_ASSIGN_OR_RETURN(const std::string note, env_->ReadFile(AppendNotePath()));
      FRESHET_ASSIGN_OR_RETURN(base, ParseSize(note));
    } else {
      FRESHET_RETURN_IF_ERROR(env_->WriteFileAtomically(AppendNotePath(), std::to_string(base)));
    }
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(options_.path, base));
    has_append_note_ = true;
    header_due_ = base == 0;
    return ReadTail(options_.path, base);
  }

  Status Recover(std::string_view committed) {
    FRESHET_ASSIGN_OR_RETURN(const Committed c, Committed::Decode(committed));
    rows_ = c.rows;
    if (c.in_part) {
      FRESHET_ASSIGN_OR_RETURN(const std::optional<FileInfo> part, Look(PartPath()));
      in_part_ = part.has_value();
    }
    const std::string path = in_part_ ? PartPath() : options_.path;
    FRESHET_ASSIGN_OR_RETURN(const std::optional<FileInfo> found, Look(path));
    if (!found)
      return Status::DataLoss(path + " is gone, but " + std::to_string(c.length) + " bytes were committed to " +
                              c.path + "; put it back, or start over with --fresh");
    FRESHET_RETURN_IF_ERROR(Lock(path));
    if (found->size < c.length)
      return Status::DataLoss(path + " has " + std::to_string(found->size) + " bytes, but " + std::to_string(c.length) +
                              " were committed; put the file back, or start over with --fresh");
    FRESHET_RETURN_IF_ERROR(ReadTail(path, c.length));
    if (static_cast<int64_t>(tail_.size()) < c.tail_length || TailHash(c.tail_length) != c.tail_hash)
      return Status::DataLoss(path +
                              " was changed since the last checkpoint (its committed end differs); put the file back, "
                              "or start over with --fresh");
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(path, c.length));
    header_due_ = c.length == 0;
    FRESHET_ASSIGN_OR_RETURN(const std::optional<FileInfo> note_file, Look(AppendNotePath()));
    has_append_note_ = note_file.has_value();
    directory_changed_ = true;
    return Publish();
  }

  /// Keeps the last bytes before `length` for the checksum.
  Status ReadTail(const std::string& path, int64_t length) {
    FRESHET_ASSIGN_OR_RETURN(const auto file, env_->OpenReadable(path));
    const int64_t want = std::min<int64_t>(length, kTailBytes);
    FRESHET_RETURN_IF_ERROR(file->Seek(length - want));
    tail_.resize(static_cast<size_t>(want));
    for (int64_t have = 0; have < want;) {
      FRESHET_ASSIGN_OR_RETURN(const int64_t n, file->Read(tail_.data() + have, want - have));
      if (n == 0) return Status::DataLoss(path + " became shorter while it was read");
      have += n;
    }
    return Status::Ok();
  }

  uint64_t TailHash(int64_t length) const {
    const auto n = static_cast<size_t>(length);
    return XXH3_64bits(tail_.data() + (tail_.size() - n), n);
  }

  Status AppendText() {
    if (!options_.gzip) return AppendBytes(&text_);
    gzip_.Append(text_, &compressed_);
    text_.clear();
    return AppendBytes(&compressed_);
  }

  Status FinishMember() {
    FRESHET_RETURN_IF_ERROR(AppendText());
    if (!options_.gzip) return Status::Ok();
    gzip_.FinishMember(&compressed_);
    return AppendBytes(&compressed_);
  }

  /// Hands bytes to the file and empties them; after an error they wait for the next attempt.
  Status AppendBytes(std::string* waiting) {
    if (waiting->empty()) return Status::Ok();
    const std::string_view bytes = *waiting;
    FRESHET_RETURN_IF_ERROR(Guard(file_->Append(bytes)));
    changed_ = true;
    tail_.append(bytes.substr(bytes.size() > kTailBytes ? bytes.size() - kTailBytes : 0));
    if (tail_.size() > 4 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    waiting->clear();
    return Status::Ok();
  }

  Status SyncIfChanged() {
    if (changed_) {
      FRESHET_RETURN_IF_ERROR(Guard(file_->Flush()));
      // What a failed fsync lost the next one would not miss: only a restart that cuts back and writes again helps.
      if (Status status = file_->Sync(); !status.ok())
        return Guard(status.retry() == RetryHint::kLater ? Status::Io(status.message()) : std::move(status));
    }
    changed_ = false;
    if (!directory_changed_) return Status::Ok();
    FRESHET_RETURN_IF_ERROR(Guard(env_->SyncDirectory(DirectoryOf(options_.path))));
    directory_changed_ = false;
    return Status::Ok();
  }

  /// Gives the file its name once something was committed. Idempotent: a restore may have to do it.
  Status Publish() {
    if (in_part_) {
      FRESHET_RETURN_IF_ERROR(env_->Rename(PartPath(), options_.path));
      in_part_ = false;
      FRESHET_RETURN_IF_ERROR(env_->SyncDirectory(DirectoryOf(options_.path)));
    }
    if (has_append_note_) {
      FRESHET_RETURN_IF_ERROR(env_->Remove(AppendNotePath()));
      has_append_note_ = false;
    }
    return Status::Ok();
  }

  const FileSinkOptions options_;
  Env* env_ = nullptr;
  RowWriterSet writers_;
  GzipWriter gzip_;
  RowHash rows_;
  std::unique_ptr<WritableFile> file_;
  std::vector<std::unique_ptr<FileLock>> locks_;
  std::string text_;        // rows not yet handed to the file
  std::string compressed_;  // likewise, gzip
  int32_t rows_taken_ = 0;  // of a batch whose Write has to be repeated
  std::string tail_;        // at least the last kTailBytes of the file, if it has as many
  Status broken_;
  bool header_due_ = false;
  bool in_part_ = false;
  bool has_append_note_ = false;
  bool changed_ = false;
  bool directory_changed_ = false;
};

/// "-", a pipe, a terminal or a device: something that cannot be cut back.
bool IsStream(Env* env, const std::string& path) {
  if (path == "-" || path == "/dev/stdout" || path == "/dev/stderr") return true;
  const Result<FileInfo> info = env->Stat(path);
  return info.ok() && !info->is_regular && !info->is_directory;
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// What `format` says, else what the path's ending says.
RowFormat FormatOf(const OptionsNode& options, std::string_view path) {
  if (const auto named = options.FindString("format")) return *named == "csv" ? RowFormat::kCsv : RowFormat::kNdjson;
  return EndsWith(path, ".csv") || EndsWith(path, ".csv.gz") ? RowFormat::kCsv : RowFormat::kNdjson;
}

std::optional<BoundSink> MakeFile(const OptionsNode& options, const BindContext& bind) {
  FileSinkOptions o;
  o.path = options.GetString("path") == "-" ? "-" : ResolveOptionPath(options, bind, "path");
  if (o.path.empty()) return std::nullopt;  // reported by OptionsNode
  o.format = FormatOf(options, o.path);
  const std::string if_exists = options.GetString("if_exists");
  o.if_exists = if_exists == "append"    ? IfExists::kAppend
                : if_exists == "replace" ? IfExists::kReplace
                                         : IfExists::kFail;
  o.gzip = EndsWith(o.path, ".gz");
  o.stream = IsStream(bind.env != nullptr ? bind.env : Env::Posix(), o.path);
  if (EndsWith(o.path, ".zst")) {
    bind.diagnostics->Error("FR3101", options.span("path"), "the file sink writes plain text or gzip, not zstd",
                            "end the path in .gz or in nothing");
    return std::nullopt;
  }
  for (const Schema* input : bind.inputs) {
    if (o.format != RowFormat::kCsv || input == nullptr || *input == *bind.inputs.front()) continue;
    bind.diagnostics->Error("FR3102", options.span("format"),
                            "a csv file has one header, but the inputs have different columns",
                            "use `format: ndjson`, or one sink per input");
    return std::nullopt;
  }
  BoundSink bound;
  bound.delivery = o.stream ? Delivery::kAtLeastOnce : Delivery::kExactlyOnce;
  bound.explain = {{"path", o.path}, {"format", o.format == RowFormat::kCsv ? "csv" : "ndjson"}};
  if (o.gzip) bound.explain.emplace_back("compression", "gzip");
  if (o.stream)
    bound.explain.emplace_back("note", "a pipe or device cannot be cut back: rows may come twice after a crash");
  bound.make_sink = [o] { return MakeFileSink(o); };
  return bound;
}

}  // namespace

std::unique_ptr<Sink> MakeFileSink(FileSinkOptions options) { return std::make_unique<FileSink>(std::move(options)); }

NodeDescriptor FileSinkDescriptor() {
  NodeDescriptor d;
  d.type = "file";
  d.kind = NodeKind::kSink;
  d.summary = "writes rows to a file, each exactly once";
  d.doc =
      "Writes rows as ndjson (one JSON object a line) or csv (RFC 4180, one header line). Times are RFC 3339 in UTC, "
      "floats\n"
      "the shortest text that reads back; a null is JSON null or an empty csv field (an empty string is \"\").\n"
      "\n"
      "Exactly once: each checkpoint syncs the file and remembers its length; after a crash the file is cut back to "
      "what was\n"
      "committed and the rows after that are written again. Until the first checkpoint the file is called PATH.part. A "
      "file\n"
      "that exists but that no checkpoint knows is refused, unless `if_exists` or --fresh says otherwise.\n"
      "\n"
      "A path ending in .gz is compressed, one gzip member per checkpoint. `-`, pipes and devices are written at once "
      "and get\n"
      "rows at least once. The summary prints a hash over all rows, the same that a blackhole sink prints.";
  d.example = "alerts_file:\n  type: file\n  inputs: [surges]\n  path: out/alerts.ndjson";
  d.inputs_max = 64;
  OptionSpec path;
  path.name = "path";
  path.kind = OptionKind::kPath;
  path.doc = "The file to write, relative to the pipeline file; directories are made. `-` is standard output.";
  path.required = true;
  OptionSpec format;
  format.name = "format";
  format.kind = OptionKind::kEnum;
  format.enum_values = {"ndjson", "csv"};
  format.doc = "How rows are written; without it the path's ending decides (.csv, .csv.gz), else ndjson.";
  OptionSpec if_exists;
  if_exists.name = "if_exists";
  if_exists.kind = OptionKind::kEnum;
  if_exists.enum_values = {"fail", "append", "replace"};
  if_exists.default_text = "fail";
  if_exists.doc = "What to do at a fresh start when the file already has content.";
  d.options = {path, format, if_exists};
  d.make_sink = MakeFile;
  return d;
}

}  // namespace freshet
