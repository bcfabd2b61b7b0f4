#include "engine/options/span.h"

#include <algorithm>

namespace freshet {

SourceSpan SpannedText::At(int32_t offset, int32_t length) const {
  SourceSpan result = span;
  if (line_starts.empty()) return result;
  size_t piece = 0;
  while (piece + 1 < line_starts.size() && line_starts[piece + 1].value_offset <= offset) ++piece;
  const LineStart& start = line_starts[piece];
  result.line = start.line;
  result.column = start.column + std::max(0, offset - start.value_offset);
  result.length = std::max(1, length);
  if (piece + 1 < line_starts.size()) {
    const LineStart& next = line_starts[piece + 1];
    // A variable's value may be longer than its name: stay before what follows it.
    if (next.line == start.line) result.column = std::min(result.column, std::max(start.column, next.column - 1));
    // What reaches beyond this piece ends where its last byte stands, if that is on this line.
    const int32_t end = offset + result.length;
    if (end > next.value_offset) {
      size_t last = piece + 1;
      while (last + 1 < line_starts.size() && line_starts[last + 1].value_offset < end) ++last;
      const LineStart& tail = line_starts[last];
      if (tail.line == start.line) {
        result.length = std::max(1, tail.column + (end - tail.value_offset) - result.column);
      } else {
        result.length = std::max(1, next.value_offset - offset);
      }
    }
  }
  return result;
}

}  // namespace freshet
