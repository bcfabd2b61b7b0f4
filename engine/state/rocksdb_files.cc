#include "engine/state/rocksdb_files.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace freshet {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kHeaderBytes = 7;
enum RecordType : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    table[i] = c;
  }
  return table;
}

uint32_t Crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t c = ~0u;
  for (const char b : bytes) c = kTable[(c ^ static_cast<uint8_t>(b)) & 0xff] ^ c >> 8;
  return ~c;
}

uint32_t Masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

/// The size of the whole piece of a record at `at`, with its header; 0 if none is there.
size_t PieceAt(std::string_view log, size_t at) {
  const size_t room = std::min(kBlockBytes - at % kBlockBytes, log.size() - at);
  if (room < kHeaderBytes) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(log[at + i])); };
  const size_t length = byte(4) | byte(5) << 8;
  if (byte(6) < kFull || byte(6) > kLast || kHeaderBytes + length > room) return 0;
  const uint32_t stored = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  return Masked(Crc32c(log.substr(at + 6, length + 1))) == stored ? kHeaderBytes + length : 0;
}

class ShortenedFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  ShortenedFile(std::unique_ptr<rocksdb::FSSequentialFile> real, size_t size)
      : FSSequentialFileOwnerWrapper(std::move(real)), left_(size) {}
  IOStatus Read(size_t n, const IOOptions& options, rocksdb::Slice* result, char* scratch,
                IODebugContext* debug) override {
    IOStatus s = FSSequentialFileOwnerWrapper::Read(std::min(n, left_), options, result, scratch, debug);
    if (s.ok()) left_ -= result->size();
    return s;
  }
  IOStatus Skip(uint64_t n) override {
    n = std::min<uint64_t>(n, left_);
    left_ -= n;
    return FSSequentialFileOwnerWrapper::Skip(n);
  }

 private:
  size_t left_;
};

class UntornFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit UntornFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base) : FileSystemWrapper(base) {}
  const char* Name() const override { return "UntornFileSystem"; }
  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext* debug) override {
    IOStatus s = target()->NewSequentialFile(name, options, file, debug);
    if (!s.ok() || name.compare(name.rfind('/') + 1, 9, "MANIFEST-") != 0) return s;
    std::string bytes;
    std::string piece(kBlockBytes, '\0');
    rocksdb::Slice read;
    do {
      s = (*file)->Read(piece.size(), options.io_options, &read, piece.data(), debug);
      bytes.append(read.data(), s.ok() ? read.size() : 0);
    } while (s.ok() && read.size() > 0);
    if (s.ok()) s = target()->NewSequentialFile(name, options, file, debug);
    if (s.ok()) *file = std::make_unique<ShortenedFile>(std::move(*file), UntornSize(bytes));
    return s;
  }
};

}  // namespace

size_t UntornSize(std::string_view log) {
  size_t whole = 0;  // up to here all records are
  size_t at = 0;
  while (at < log.size()) {
    const size_t left = kBlockBytes - at % kBlockBytes;
    if (left < kHeaderBytes) {  // too little for a header: padding
      at += left;
      continue;
    }
    const size_t size = PieceAt(log, at);
    if (size == 0) break;
    const auto type = static_cast<uint8_t>(log[at + 6]);
    at += size;
    if (type == kFull || type == kLast) whole = at;
  }
  if (at >= log.size()) return log.size();
  for (size_t behind = at + 1; behind < log.size(); ++behind)
    if (PieceAt(log, behind) != 0) return log.size();
  return whole;
}

std::shared_ptr<rocksdb::FileSystem> WithoutTornVersions(std::shared_ptr<rocksdb::FileSystem> base) {
  return std::make_shared<UntornFileSystem>(base ? std::move(base) : rocksdb::FileSystem::Default());
}

}  // namespace freshet
