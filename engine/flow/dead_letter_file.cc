#include "engine/flow/dead_letter_file.h"

#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/base/units.h"

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

class DeadLetterFile final : public Sink {
 public:
  explicit DeadLetterFile(std::string path) : path_(std::move(path)) {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    if (ctx.restored_epoch.number == 0) return Status::Ok();
    ByteSource source(ctx.committed);
    const int64_t committed = committed_size_ = source.GetI64();
    count_ = source.GetI64();
    const Result<FileInfo> info = env_->Stat(path_);
    // Rows written after the committed epoch will be written again.
    if (info.ok() && info->size > committed) return OpenFile(committed);
    return Status::Ok();
  }

  Status Write(const Batch& batch, int64_t) override {
    if (!file_) FRESHET_RETURN_IF_ERROR(OpenFile(-1));
    std::string text;
    for (int32_t row = 0; row < batch.row_count(); ++row) {
      text += "{\"node\":";
      AppendJsonString(text, batch.column(0).StringAt(row));
      text += ",\"partition\":";
      AppendJsonString(text, batch.column(1).StringAt(row));
      text += ",\"line\":" + std::to_string(batch.column(2).int64s()[row]) +
              ",\"record\":" + std::to_string(batch.column(3).int64s()[row]) + ",\"reason\":";
      const std::string_view reason = batch.column(4).StringAt(row);
      AppendJsonString(text, IsUtf8(reason) ? std::string(reason) : Base64(reason));
      const std::string_view raw = batch.column(5).StringAt(row);
      const bool utf8 = IsUtf8(raw);
      text += utf8 ? ",\"raw\":" : ",\"raw_base64\":";
      AppendJsonString(text, utf8 ? std::string(raw) : Base64(raw));
      text += "}\n";
    }
    count_ += batch.row_count();
    FRESHET_RETURN_IF_ERROR(file_->Append(text));
    if (file_->size() < kDeadLetterRingBytes / 2) return Status::Ok();
    FRESHET_RETURN_IF_ERROR(file_->Close());
    file_.reset();
    committed_size_ = 0;
    return env_->Rename(path_, path_ + ".1");
  }

  Result<std::string> PrepareCommit(Epoch) override {
    if (file_) FRESHET_RETURN_IF_ERROR(file_->Sync());
    ByteSink sink;
    if (file_) committed_size_ = file_->size();
    sink.PutI64(committed_size_);
    sink.PutI64(count_);
    return sink.Take();
  }
  void Close() noexcept override {
    if (file_) (void)file_->Close().ok();
  }
  std::string Summary() const override {
    return count_ == 0 ? std::string() : FormatCount(count_) + " dead letters in " + path_;
  }

 private:
  Status OpenFile(int64_t truncate_to) {
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(DirectoryOf(path_)));
    FRESHET_ASSIGN_OR_RETURN(file_, env_->OpenWritable(path_, truncate_to));
    return Status::Ok();
  }
  const std::string path_;
  Env* env_ = nullptr;
  std::unique_ptr<WritableFile> file_;
  int64_t count_ = 0;
  int64_t committed_size_ = 0;  ///< bytes that the last epoch covers
};

}  // namespace

std::unique_ptr<Sink> NewDeadLetterFile(std::string path) { return std::make_unique<DeadLetterFile>(std::move(path)); }

}  // namespace freshet
