#include "connectors/file_sink/gzip_writer.h"

#include <zlib.h>

namespace freshet {
namespace {
constexpr int kGzipWindowBits = 15 + 16;  // 16 asks zlib for a gzip header
constexpr int kMemoryLevel = 8;
}  // namespace

struct GzipWriter::Stream {
  z_stream z{};
};

GzipWriter::GzipWriter() : stream_(std::make_unique<Stream>()) {}

GzipWriter::~GzipWriter() {
  if (open_) deflateEnd(&stream_->z);
}

void GzipWriter::Append(std::string_view text, std::string* out) {
  if (text.empty()) return;
  if (!open_) {
    stream_->z = z_stream{};
    deflateInit2(&stream_->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY);
    open_ = true;
  }
  stream_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream_->z.avail_in = static_cast<uInt>(text.size());
  Run(Z_NO_FLUSH, out);
}

void GzipWriter::FinishMember(std::string* out) {
  if (!open_) return;
  stream_->z.next_in = nullptr;
  stream_->z.avail_in = 0;
  Run(Z_FINISH, out);
  deflateEnd(&stream_->z);
  open_ = false;
}

void GzipWriter::Run(int flush, std::string* out) {
  char buffer[16384];
  int code = Z_OK;
  do {
    stream_->z.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_->z.avail_out = sizeof buffer;
    code = deflate(&stream_->z, flush);
    out->append(buffer, sizeof buffer - stream_->z.avail_out);
  } while (stream_->z.avail_out == 0 && code == Z_OK);
}

}  // namespace freshet
