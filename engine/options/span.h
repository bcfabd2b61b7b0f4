#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace freshet {

/// The text of a pipeline file (or of a `--set` argument), shared by every span into it.
struct SourceText {
  std::string name;  ///< as shown to people: the path, or "--set"
  std::string bytes;
};

/// A place in a file: 1-based line, 1-based column in bytes, and how many bytes are meant. line 0: no place.
struct SourceSpan {
  std::shared_ptr<const SourceText> text;
  int32_t line = 0;
  int32_t column = 0;
  int32_t length = 1;
  /// Where the value was used, if it stands elsewhere: the alias `*x`, the merge `<<` or the `include:` that brought it
  /// in; its own `used_at` is the next use outwards.
  std::shared_ptr<const SourceSpan> used_at = {};
  bool known() const { return line > 0; }
};

/// A scalar's text as the user wrote it plus where it stands, so that an offset inside the value (an expression's
/// error) can be shown as a place in the file. `line_starts[i]` is the place of the i-th piece of the value, ascending
/// by `value_offset`: a new piece begins with every line, and after every escape or variable, where the value and the
/// file run apart. A plain scalar on one line has one entry.
struct SpannedText {
  std::string value;
  SourceSpan span;  ///< the whole scalar
  struct LineStart {
    int32_t value_offset = 0;  ///< where this piece begins in `value`
    int32_t line = 0;
    int32_t column = 0;
  };
  std::vector<LineStart> line_starts;
  /// The place of `length` bytes at `offset` of the value.
  SourceSpan At(int32_t offset, int32_t length) const;
};

}  // namespace freshet
