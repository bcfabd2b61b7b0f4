#include "connectors/file/file_position.h"

#include "engine/base/bytes.h"
#include "engine/base/rng.h"

namespace freshet {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

std::string FilePosition::Encode() const {
  ByteSink sink;
  sink.PutU8(kVersion);
  sink.PutU64(inode);
  sink.PutU64(fingerprint);
  sink.PutU32(static_cast<uint32_t>(fingerprint_bytes));
  sink.PutI64(offset);
  sink.PutI64(record);
  sink.PutI64(file_bytes);
  return sink.Take();
}

std::optional<FilePosition> FilePosition::Decode(std::string_view bytes) {
  ByteSource source(bytes);
  FilePosition position;
  const uint8_t version = source.GetU8();
  position.inode = source.GetU64();
  position.fingerprint = source.GetU64();
  position.fingerprint_bytes = static_cast<int32_t>(source.GetU32());
  position.offset = source.GetI64();
  position.record = source.GetI64();
  position.file_bytes = source.GetI64();
  const bool sane =
      position.fingerprint_bytes >= 0 && position.fingerprint_bytes <= kFingerprintBytes && position.offset >= 0;
  if (version != kVersion || !source.ok() || !source.exhausted() || !sane) return std::nullopt;
  return position;
}

uint64_t Fingerprint(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Mix64(hash);
}

}  // namespace freshet
