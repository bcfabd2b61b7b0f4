#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace freshet {

/// Where a file has been read to (SEMANTICS.md §8.2). Stands in state.
struct FilePosition {
  uint64_t inode = 0;
  uint64_t fingerprint = 0;       ///< of the file's first `fingerprint_bytes` bytes
  int32_t fingerprint_bytes = 0;  ///< at most kFingerprintBytes
  int64_t offset = 0;             ///< uncompressed bytes read
  int64_t record = 0;             ///< records read, headers and blank lines too
  int64_t file_bytes = 0;         ///< size of the file itself when this was taken

  std::string Encode() const;
  static std::optional<FilePosition> Decode(std::string_view bytes);
};

inline constexpr int32_t kFingerprintBytes = 256;
/// FNV-1a (Fowler, Noll, Vo), mixed. Frozen.
uint64_t Fingerprint(std::string_view bytes);

}  // namespace freshet
