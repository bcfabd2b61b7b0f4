#include "connectors/console/console_text.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "connectors/format/row_writer.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr int kCellWidthMax = 40;
constexpr int kMessageWidthMax = 400;
constexpr char kReset[] = "\x1b[0m";
constexpr char kBold[] = "\x1b[1m";
constexpr char kDim[] = "\x1b[2m";

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Colour of a severity, by the names that detectors use; others are plain.
const char* SeverityColor(std::string_view severity) {
  if (severity == "critical") return "\x1b[1;97;41m";
  if (severity == "high") return "\x1b[1;31m";
  if (severity == "medium") return "\x1b[33m";
  if (severity == "low") return "\x1b[36m";
  return "";
}

std::string Clock(EventTime time) {
  std::string text;
  AppendTimestamp({time.us - time.us % 1000000}, &text);
  if (text.size() == 20) {
    text[10] = ' ';
    text.pop_back();
  }
  return text;
}

bool AlignsRight(TypeId type) { return IsNumeric(type); }

void AppendPaddedCell(std::string_view text, int width, bool right, std::string* out) {
  const int pad = std::max(0, width - DisplayWidth(text));
  if (right) out->append(static_cast<size_t>(pad), ' ');
  out->append(text);
  if (!right) out->append(static_cast<size_t>(pad), ' ');
}

void TrimRight(std::string* out) {
  while (!out->empty() && out->back() == ' ') out->pop_back();
}

}  // namespace

int DisplayWidth(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

std::string TerminalCell(const Column& column, int32_t row, int width_max) {
  std::string text;
  if (column.IsNull(row)) return "-";
  if (column.type() == TypeId::kTimestamp) {
    AppendTimestamp({column.int64s()[row]}, &text);
    if (text.size() > 11) text[10] = ' ';
    if (!text.empty()) text.pop_back();
  } else if (column.type() == TypeId::kFloat64) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6g", column.float64s()[row]);
    text = digits;
  } else {
    AppendCellText(column, row, &text);
  }
  // C1 controls arrive as 0xc2 0x80..0x9f; a terminal may obey them too.
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) text[i] = '?';
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) text.replace(i, 2, "?");
  }
  if (DisplayWidth(text) <= width_max) return text;
  size_t at = 0;
  for (int shown = 0; at < text.size(); ++at)
    if (!IsContinuation(text[at]) && ++shown == width_max) break;
  text.resize(at);
  return text + "…";
}

void TableText::Append(const Batch& batch, bool color, std::string* out) {
  const int columns = schema_->size();
  std::vector<std::vector<std::string>> cells(static_cast<size_t>(batch.row_count()));
  for (int32_t row = 0; row < batch.row_count(); ++row)
    for (int c = 0; c < columns; ++c)
      cells[static_cast<size_t>(row)].push_back(TerminalCell(batch.column(c), row, kCellWidthMax));
  if (widths_.empty()) {
    for (int c = 0; c < columns; ++c) {
      int width = DisplayWidth(schema_->field(c).name);
      for (const auto& row : cells) width = std::max(width, DisplayWidth(row[static_cast<size_t>(c)]));
      widths_.push_back(width);
    }
    if (color) *out += kBold;
    for (int c = 0; c < columns; ++c) {
      if (c > 0) *out += "  ";
      AppendPaddedCell(schema_->field(c).name, widths_[static_cast<size_t>(c)], AlignsRight(schema_->field(c).type),
                       out);
    }
    TrimRight(out);
    if (color) *out += kReset;
    *out += '\n';
  }
  for (const auto& row : cells) {
    for (int c = 0; c < columns; ++c) {
      if (c > 0) *out += "  ";
      AppendPaddedCell(row[static_cast<size_t>(c)], widths_[static_cast<size_t>(c)],
                       AlignsRight(schema_->field(c).type), out);
    }
    TrimRight(out);
    *out += '\n';
  }
}

std::optional<AlertText> AlertText::For(const Schema& schema) {
  AlertText text;
  const auto find = [&](const char* name, TypeId type, int* index) {
    const std::optional<int> at = schema.Find(name);
    if (!at || schema.field(*at).type != type) return false;
    *index = *at;
    return true;
  };
  int id = -1;
  if (!find("alert_id", TypeId::kString, &id) || !find("rule", TypeId::kString, &text.rule_) ||
      !find("state", TypeId::kString, &text.state_) || !find("severity", TypeId::kString, &text.severity_) ||
      !find("started_at", TypeId::kTimestamp, &text.started_at_) || !find("message", TypeId::kString, &text.message_) ||
      text.state_ < text.rule_)
    return std::nullopt;
  find("peaked_at", TypeId::kTimestamp, &text.peaked_at_);
  find("ended_at", TypeId::kTimestamp, &text.ended_at_);
  text.peak_ = schema.Find("peak").value_or(-1);
  for (int c = text.rule_ + 1; c < text.state_; ++c) {
    text.keys_.push_back(c);
    text.key_names_.push_back(schema.field(c).name);
  }
  return text;
}

void AlertText::Append(const Batch& batch, bool color, std::string* out) const {
  for (int32_t row = 0; row < batch.row_count(); ++row) AppendAlert(batch, row, color, out);
}

void AlertText::AppendAlert(const Batch& batch, int32_t row, bool color, std::string* out) const {
  const auto cell = [&](int c) { return TerminalCell(batch.column(c), row, kMessageWidthMax); };
  const bool resolved = cell(state_) == "resolved";
  const std::string severity = cell(severity_);
  const EventTime started{batch.column(started_at_).int64s()[row]};
  const Column* ended = ended_at_ >= 0 && batch.column(ended_at_).IsValid(row) ? &batch.column(ended_at_) : nullptr;

  *out += Clock(resolved && ended != nullptr ? EventTime{ended->int64s()[row]} : started);
  *out += "  ";
  std::string label = resolved ? "resolved" : severity;
  label.resize(std::max<size_t>(label.size(), 8), ' ');
  const char* tint = !color ? "" : resolved ? "\x1b[32m" : SeverityColor(severity);
  *out += tint;
  *out += label;
  if (*tint != 0) *out += kReset;
  *out += "  ";
  if (color) *out += kBold;
  *out += cell(rule_);
  if (color) *out += kReset;
  for (size_t i = 0; i < keys_.size(); ++i) *out += (i == 0 ? "  " : ", ") + key_names_[i] + " " + cell(keys_[i]);
  if (batch.column(message_).IsValid(row)) *out += ": " + cell(message_);
  std::string facts;
  if (resolved && ended != nullptr)
    facts += "lasted " + FormatDuration({(ended->int64s()[row] - started.us) / 1000000 * 1000000});
  if (peak_ >= 0 && batch.column(peak_).IsValid(row)) {
    facts += (facts.empty() ? "peak " : ", peak ") + cell(peak_);
    if (peaked_at_ >= 0 && batch.column(peaked_at_).IsValid(row) &&
        batch.column(peaked_at_).int64s()[row] != started.us)
      facts += " at " + Clock({batch.column(peaked_at_).int64s()[row]});
  }
  if (!facts.empty()) {
    if (color) *out += kDim;
    *out += " (" + facts + ")";
    if (color) *out += kReset;
  }
  *out += '\n';
}

}  // namespace freshet
