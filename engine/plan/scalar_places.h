#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/options/span.h"

namespace freshet {

/// Lines and columns of a text by byte offset.
class LineTable {
 public:
  explicit LineTable(std::string_view text);
  struct Place {
    int32_t line = 1;    ///< 1-based
    int32_t column = 1;  ///< 1-based, bytes
  };
  Place At(size_t offset) const;
  /// Offset of the end of the line in which `offset` lies.
  size_t LineEnd(size_t offset) const;

 private:
  std::vector<size_t> starts_;
  size_t size_;
};

/// How and where a YAML scalar is written in its file.
struct ScalarPlaces {
  enum class Style : uint8_t { kPlain, kSingleQuoted, kDoubleQuoted, kBlock };
  Style style = Style::kPlain;
  size_t begin = 0;  ///< of the scalar proper: after an anchor or tag, at its quote or block sign
  size_t end = 0;    ///< after its last byte
  std::vector<SpannedText::LineStart> pieces;
};

/// Finds the pieces of a scalar: where each run of bytes that `value` shares with the file stands. `at` is where the
/// node begins (its anchor or tag, if any) and `value` what the parser made of it. Works by walking value and file side
/// by side: lines may be folded, indented or escaped, everything else is equal byte for byte.
ScalarPlaces LocateScalar(std::string_view text, size_t at, std::string_view value, const LineTable& lines);

}  // namespace freshet
