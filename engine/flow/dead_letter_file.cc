#include "engine/flow/dead_letter_file.h"

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/base/units.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

bool IsUtf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto lead = static_cast<uint8_t>(s[i]);
    const size_t length = lead < 0x80 ? 1 : (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
    if (length == 0 || i + length > s.size()) return false;
    uint32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto c = static_cast<uint8_t>(s[i + k]);
      if ((c & 0xc0) != 0x80) return false;
      code = code << 6 | (c & 0x3fu);
    }
    constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

void AppendJsonString(std::string& out, std::string_view s) {
  out += '"';
  for (char c : s) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string Base64(std::string_view s) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < s.size(); i += 3) {
    uint32_t v = 0;
    const size_t n = std::min<size_t>(3, s.size() - i);
    for (size_t k = 0; k < 3; ++k) v = v << 8 | (k < n ? static_cast<uint8_t>(s[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[v >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

/// What a recovery needs to know of the file that holds the last committed row.
struct Committed {
  int64_t size = 0;   ///< bytes of it that are committed
  int64_t count = 0;  ///< rows ever written
  uint32_t tail_hash = 0;
  bool has_tail_hash = true;  ///< not in what the first version wrote

  std::string Encode() const {
    ByteSink sink;
    sink.PutI64(size);
    sink.PutI64(count);
    sink.PutU32(tail_hash);
    return sink.Take();
  }
  static Result<Committed> Decode(std::string_view bytes) {
    ByteSource source(bytes);
    Committed c;
    c.size = source.GetI64();
    c.count = source.GetI64();
    c.has_tail_hash = !source.exhausted();
    if (c.has_tail_hash) c.tail_hash = source.GetU32();
    if (!source.ok() || c.size < 0)
      return Status::DataLoss("the committed position of the dead letters cannot be read");
    return c;
  }
};

void AppendRecord(const Batch& batch, int32_t row, std::string* text) {
  *text += "{\"node\":";
  AppendJsonString(*text, batch.column(0).StringAt(row));
  *text += ",\"partition\":";
  AppendJsonString(*text, batch.column(1).StringAt(row));
  *text += ",\"line\":" + std::to_string(batch.column(2).int64s()[row]) +
           ",\"record\":" + std::to_string(batch.column(3).int64s()[row]) + ",\"reason\":";
  const std::string_view reason = batch.column(4).StringAt(row);
  AppendJsonString(*text, IsUtf8(reason) ? std::string(reason) : Base64(reason));
  const std::string_view raw = batch.column(5).StringAt(row);
  const bool utf8 = IsUtf8(raw);
  *text += utf8 ? ",\"raw\":" : ",\"raw_base64\":";
  AppendJsonString(*text, utf8 ? std::string(raw) : Base64(raw));
  *text += "}\n";
}

class DeadLetterFile final : public Sink {
 public:
  explicit DeadLetterFile(std::string path) : path_(std::move(path)), older_path_(path_ + ".1") {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    if (ctx.restored_epoch.number > 0) return Recover(ctx.committed);
    // Nothing is committed: what is there belongs to a state that is no more.
    FRESHET_RETURN_IF_ERROR(RemoveIfThere(path_));
    return RemoveIfThere(older_path_);
  }

  Status Write(const Batch& batch, int64_t) override {
    if (file_ && file_->size() >= kDeadLetterRingBytes / 2) FRESHET_RETURN_IF_ERROR(Rotate());
    if (!file_) FRESHET_RETURN_IF_ERROR(OpenFile());
    std::string text;
    for (int32_t row = 0; row < batch.row_count(); ++row) AppendRecord(batch, row, &text);
    FRESHET_RETURN_IF_ERROR(file_->Append(text));
    if (now_.size >= file_->size()) tail_.clear();  // the first of a new file
    now_.size = file_->size();
    now_.count += batch.row_count();
    tail_.append(text, text.size() > kTailBytes ? text.size() - kTailBytes : 0);
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    return Status::Ok();
  }

  Result<std::string> PrepareCommit(Epoch) override {
    if (file_) {
      FRESHET_RETURN_IF_ERROR(file_->Flush());
      if (Status status = file_->Sync(); !status.ok())  // never retried: see WritableFile::Sync
        return status.retry() == RetryHint::kLater ? Status::Io(status.message()) : std::move(status);
    }
    now_.tail_hash = RowChecksum({}, tail_);
    return now_.Encode();
  }
  void Close() noexcept override {
    if (file_) (void)file_->Close().ok();
  }
  std::string Summary() const override {
    return now_.count == 0 ? std::string() : FormatCount(now_.count) + " dead letters in " + path_;
  }

 private:
  static constexpr int64_t kTailBytes = 256;

  Status RemoveIfThere(const std::string& path) {
    Status status = env_->Remove(path);
    return status.code() == StatusCode::kNotFound ? Status::Ok() : std::move(status);
  }

  Status OpenFile(int64_t truncate_to = -1) {
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(DirectoryOf(path_)));
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(path_, truncate_to));
    return env_->SyncDirectory(DirectoryOf(path_));
  }

  Status Rotate() {
    FRESHET_RETURN_IF_ERROR(file_->Close());
    file_.reset();
    return env_->Rename(path_, older_path_);
  }

  /// Rows after the committed epoch will be written again: they go, unless the ring has turned since.
  Status Recover(std::string_view committed) {
    FRESHET_ASSIGN_OR_RETURN(now_, Committed::Decode(committed));
    if (now_.count == 0) {
      FRESHET_RETURN_IF_ERROR(RemoveIfThere(path_));
      return RemoveIfThere(older_path_);
    }
    FRESHET_ASSIGN_OR_RETURN(const bool current, Holds(path_));
    if (!current) {
      FRESHET_ASSIGN_OR_RETURN(const bool older, Holds(older_path_));
      if (!older) return Status::Ok();
      FRESHET_RETURN_IF_ERROR(env_->Rename(older_path_, path_));
    }
    return OpenFile(now_.size);
  }

  /// Whether the file begins with what was committed; then `tail_` is the end of that.
  Result<bool> Holds(const std::string& path) {
    const Result<FileInfo> info = env_->Stat(path);
    if (info.status().code() == StatusCode::kNotFound) return false;
    FRESHET_RETURN_IF_ERROR(info.status());
    if (info->size < now_.size) return false;
    FRESHET_ASSIGN_OR_RETURN(const auto file, env_->OpenReadable(path));
    const int64_t want = std::min(now_.size, kTailBytes);
    FRESHET_RETURN_IF_ERROR(file->Seek(now_.size - want));
    tail_.resize(static_cast<size_t>(want));
    for (int64_t have = 0; have < want;) {
      FRESHET_ASSIGN_OR_RETURN(const int64_t n, file->Read(tail_.data() + have, want - have));
      if (n == 0) return false;
      have += n;
    }
    return !now_.has_tail_hash || RowChecksum({}, tail_) == now_.tail_hash;
  }

  const std::string path_;
  const std::string older_path_;
  Env* env_ = nullptr;
  std::unique_ptr<WritableFile> file_;
  Committed now_;     // of the file written last
  std::string tail_;  // its last bytes
};

}  // namespace

std::unique_ptr<Sink> NewDeadLetterFile(std::string path) { return std::make_unique<DeadLetterFile>(std::move(path)); }

}  // namespace freshet
