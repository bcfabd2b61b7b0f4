#include "connectors/format/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace freshet {
namespace {

constexpr int64_t kInputBytes = 128 << 10;
constexpr int kGzipWindowBits = 15 + 16;  // zlib: expect a gzip header
constexpr char kGzipMagic[] = "\x1f\x8b";
constexpr char kZstdMagic[] = "\x28\xb5\x2f\xfd";

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(std::unique_ptr<ReadableFile> file) : file_(std::move(file)) {}
  Result<int64_t> Read(char* into, int64_t size) override {
    Result<int64_t> n = file_->Read(into, size);
    if (n.ok()) read_ += *n;
    return n;
  }
  Status Skip(int64_t count) override {
    FRESHET_RETURN_IF_ERROR(file_->Seek(count));
    read_ = count;
    return Status::Ok();
  }
  bool compressed() const override { return false; }
  int64_t file_bytes_read() const override { return read_; }

 private:
  std::unique_ptr<ReadableFile> file_;
  int64_t read_ = 0;
};

/// What gzip and zstd share: an input buffer, and skipping by reading.
class CompressedStream : public ByteStream {
 public:
  CompressedStream(std::unique_ptr<ReadableFile> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), input_(static_cast<size_t>(kInputBytes)) {}
  bool compressed() const override { return true; }
  int64_t file_bytes_read() const override { return read_; }
  Status Skip(int64_t count) override {
    std::vector<char> dropped(static_cast<size_t>(kInputBytes));
    while (count > 0) {
      FRESHET_ASSIGN_OR_RETURN(const int64_t n, Read(dropped.data(), std::min(count, kInputBytes)));
      if (n == 0) return Status::DataLoss(name_ + " is shorter than it was when it was last read");
      count -= n;
    }
    return Status::Ok();
  }

 protected:
  /// Refills the input; false at the end of the file.
  Result<bool> Refill() {
    FRESHET_ASSIGN_OR_RETURN(const int64_t n, file_->Read(input_.data(), kInputBytes));
    size_ = static_cast<size_t>(n);
    at_ = 0;
    read_ += n;
    return n > 0;
  }
  Status Torn() const {
    return Status::DataLoss(name_ + " ends inside its compressed data; copy it again or cut it at a whole member");
  }
  Status Damaged(const std::string& what) const {
    return Status::DataLoss("the compressed data of " + name_ + " is damaged (" + what + ")");
  }

  std::unique_ptr<ReadableFile> file_;
  const std::string name_;
  std::vector<char> input_;
  size_t at_ = 0;
  size_t size_ = 0;
  int64_t read_ = 0;
};

class GzipStream final : public CompressedStream {
 public:
  using CompressedStream::CompressedStream;
  ~GzipStream() override {
    if (ready_) inflateEnd(&zlib_);
  }
  Result<int64_t> Read(char* into, int64_t size) override {
    if (!ready_) {
      if (inflateInit2(&zlib_, kGzipWindowBits) != Z_OK) return Status::Io("out of memory for reading " + name_);
      ready_ = true;
    }
    zlib_.next_out = reinterpret_cast<Bytef*>(into);
    zlib_.avail_out = static_cast<uInt>(std::min<int64_t>(size, 1 << 30));
    const uInt wanted = zlib_.avail_out;
    while (zlib_.avail_out == wanted) {
      if (at_ == size_) {
        FRESHET_ASSIGN_OR_RETURN(const bool more, Refill());
        if (!more) return between_members_ ? Result<int64_t>(int64_t{0}) : Result<int64_t>(Torn());
      }
      if (between_members_) {
        inflateReset(&zlib_);
        between_members_ = false;
      }
      zlib_.next_in = reinterpret_cast<Bytef*>(input_.data() + at_);
      zlib_.avail_in = static_cast<uInt>(size_ - at_);
      const int code = inflate(&zlib_, Z_NO_FLUSH);
      at_ = size_ - zlib_.avail_in;
      if (code == Z_STREAM_END)
        between_members_ = true;
      else if (code != Z_OK && code != Z_BUF_ERROR)
        return Damaged(zlib_.msg != nullptr ? zlib_.msg : "gzip");
    }
    return static_cast<int64_t>(wanted - zlib_.avail_out);
  }

 private:
  z_stream zlib_{};
  bool ready_ = false;
  bool between_members_ = false;
};

class ZstdStream final : public CompressedStream {
 public:
  ZstdStream(std::unique_ptr<ReadableFile> file, std::string name)
      : CompressedStream(std::move(file), std::move(name)), zstd_(ZSTD_createDStream()) {}
  ~ZstdStream() override { ZSTD_freeDStream(zstd_); }
  Result<int64_t> Read(char* into, int64_t size) override {
    ZSTD_outBuffer out{into, static_cast<size_t>(size), 0};
    while (out.pos == 0) {
      if (at_ == size_ && !flushing_) {
        FRESHET_ASSIGN_OR_RETURN(const bool more, Refill());
        if (!more) return between_frames_ ? Result<int64_t>(int64_t{0}) : Result<int64_t>(Torn());
      }
      ZSTD_inBuffer in{input_.data(), size_, at_};
      const size_t code = ZSTD_decompressStream(zstd_, &out, &in);
      if (ZSTD_isError(code)) return Damaged(ZSTD_getErrorName(code));
      at_ = in.pos;
      between_frames_ = code == 0;
      flushing_ = out.pos == out.size && code != 0;  // more may wait inside although the input is used up
    }
    return static_cast<int64_t>(out.pos);
  }

 private:
  ZSTD_DStream* zstd_;
  bool between_frames_ = false;
  bool flushing_ = false;
};

}  // namespace

Result<std::unique_ptr<ByteStream>> OpenByteStream(std::unique_ptr<ReadableFile> file, std::string name) {
  FRESHET_ASSIGN_OR_RETURN(const FileInfo info, file->Stat());
  if (!info.is_regular) return std::unique_ptr<ByteStream>(std::make_unique<PlainStream>(std::move(file)));
  char magic[4] = {};
  int64_t size = 0;
  while (size < 4) {
    FRESHET_ASSIGN_OR_RETURN(const int64_t n, file->Read(magic + size, 4 - size));
    if (n == 0) break;
    size += n;
  }
  FRESHET_RETURN_IF_ERROR(file->Seek(0));
  if (size >= 2 && std::memcmp(magic, kGzipMagic, 2) == 0)
    return std::unique_ptr<ByteStream>(std::make_unique<GzipStream>(std::move(file), std::move(name)));
  if (size == 4 && std::memcmp(magic, kZstdMagic, 4) == 0)
    return std::unique_ptr<ByteStream>(std::make_unique<ZstdStream>(std::move(file), std::move(name)));
  return std::unique_ptr<ByteStream>(std::make_unique<PlainStream>(std::move(file)));
}

}  // namespace freshet
