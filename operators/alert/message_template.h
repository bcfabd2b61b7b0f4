#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// `"{video_id} has {views} views ({score:.2f})"`: text with columns of a row in braces; `{{` is a brace; `:.Nf` gives
/// a number N decimals, 0 to 17. Immutable, thread-safe.
class MessageTemplate {
 public:
  /// Unknown columns (FR3401), lonely braces (FR3402) and other forms than `:.Nf` (FR3405) are errors at their place.
  static std::optional<MessageTemplate> Parse(const SpannedText& text, const Schema& schema, Diagnostics* diagnostics);
  std::string Render(const Batch& batch, int32_t row) const;
  /// As Render, for a url: values are percent-encoded (RFC 3986), what stands between them is not.
  std::string RenderUrl(const Batch& batch, int32_t row) const;
  std::vector<int> columns() const;

 private:
  struct Part {
    std::string text;
    int column = -1;    ///< -1: only text
    int decimals = -1;  ///< -1: see ValueText
  };
  std::vector<Part> parts_;
};

/// A value as people read it: times as RFC 3339, null as "-", numbers with `decimals`, else integers in full and
/// doubles with six significant digits (from a million on to the unit).
std::string ValueText(const Column& column, int32_t row, int decimals = -1);

}  // namespace freshet
