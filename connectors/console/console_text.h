#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/batch/batch.h"

namespace freshet {

/// A cell made safe and short for a terminal: control characters (escape sequences too) become `?`, times lose their
/// `T` and `Z`, floats have at most six significant digits, and more than `width_max` characters end in `…`.
std::string TerminalCell(const Column& column, int32_t row, int width_max);
/// Characters of UTF-8 text, counted as one column each.
int DisplayWidth(std::string_view text);

/// Rows of one schema as an aligned table: the first batch decides the widths, later cells may overflow them. One
/// thread.
class TableText {
 public:
  explicit TableText(SchemaRef schema) : schema_(std::move(schema)) {}
  /// Appends the rows as lines, with a header before the first ones.
  void Append(const Batch& batch, bool color, std::string* out);

 private:
  SchemaRef schema_;
  std::vector<int> widths_;
};

/// Rows of an `alert` (SEMANTICS.md §6.1) as sentences: severity, rule, key, what happened, since when, peak.
/// Stateless.
class AlertText {
 public:
  /// Nothing if the schema lacks the columns of an alert row.
  static std::optional<AlertText> For(const Schema& schema);
  void Append(const Batch& batch, bool color, std::string* out) const;

 private:
  void AppendAlert(const Batch& batch, int32_t row, bool color, std::string* out) const;
  int rule_ = -1;
  int state_ = -1;
  int severity_ = -1;
  int started_at_ = -1;
  int peaked_at_ = -1;
  int peak_ = -1;
  int ended_at_ = -1;
  int message_ = -1;
  std::vector<int> keys_;  ///< the columns between `rule` and `state`
  std::vector<std::string> key_names_;
};

}  // namespace freshet
