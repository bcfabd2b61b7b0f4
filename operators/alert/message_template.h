#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// `"{video_id} has {views} views ({score:.2f})"`: text with columns of a row in braces; `{{` is a brace; `:.Nf` gives a
/// number N decimals. Immutable, thread-safe.
class MessageTemplate {
 public:
  /// Unknown columns are errors (FR3401) at their place.
  static std::optional<MessageTemplate> Parse(const SpannedText& text, const Schema& schema, Diagnostics* diagnostics);
  std::string Render(const Batch& batch, int32_t row) const;
  std::vector<int> columns() const;

 private:
  struct Part {
    std::string text;
    int column = -1;     ///< -1: only text
    int decimals = -1;   ///< -1: the shortest form
  };
  std::vector<Part> parts_;
};

/// A value as people read it: times as RFC 3339, numbers in their shortest form or with `decimals`, null as "-".
std::string ValueText(const Column& column, int32_t row, int decimals = -1);

}  // namespace freshet
