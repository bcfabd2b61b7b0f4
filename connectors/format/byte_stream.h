#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/env.h"
#include "engine/base/status.h"

namespace freshet {

/// The bytes of a file after decompression. One thread at a time.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Reads up to `size` > 0 bytes; 0 means the end (for now, if plain). Compressed data that is damaged or ends early
  /// is kDataLoss, after all bytes before the damage have been read.
  virtual Result<int64_t> Read(char* into, int64_t size) = 0;
  /// Moves forward by `count` uncompressed bytes: by seeking if plain, else by reading and dropping. Fails if there are
  /// fewer. REQUIRES: nothing has been read yet.
  virtual Status Skip(int64_t count) = 0;
  virtual bool compressed() const = 0;
  /// Bytes of the file itself consumed so far, for progress.
  virtual int64_t file_bytes_read() const = 0;
};

/// Wraps `file`, which stands at its beginning, by what its first bytes say: gzip (also several members), zstd (also
/// several frames) or plain. `name` is for messages.
Result<std::unique_ptr<ByteStream>> OpenByteStream(std::unique_ptr<ReadableFile> file, std::string name);

}  // namespace freshet
