#include "operators/alert/message_template.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/base/units.h"

namespace freshet {
namespace {

/// N of ".Nf"; -1 for anything else.
int DecimalsOf(std::string_view format) {
  if (format.size() < 3 || format.size() > 4 || format.front() != '.' || format.back() != 'f') return -1;
  int decimals = 0;
  for (const char c : format.substr(1, format.size() - 2)) {
    if (c < '0' || c > '9') return -1;
    decimals = 10 * decimals + (c - '0');
  }
  return decimals <= 17 ? decimals : -1;
}

std::string UrlEncoded(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain)
      out += c;
    else
      (((out += '%') += kHex[byte >> 4]) += kHex[byte & 15]);
  }
  return out;
}

}  // namespace

std::optional<MessageTemplate> MessageTemplate::Parse(const SpannedText& text, const Schema& schema,
                                                      Diagnostics* diagnostics) {
  MessageTemplate out;
  out.parts_.emplace_back();
  const std::string& s = text.value;
  bool good = true;
  for (size_t i = 0; i < s.size(); ++i) {
    const bool doubled = i + 1 < s.size() && s[i + 1] == s[i];
    if ((s[i] != '{' && s[i] != '}') || doubled) {
      out.parts_.back().text += s[i];
      if (doubled && (s[i] == '{' || s[i] == '}')) ++i;
      continue;
    }
    const size_t end = s[i] == '{' ? s.find('}', i) : std::string::npos;
    if (end == std::string::npos) {
      diagnostics->Error("FR3402", text.At(static_cast<int32_t>(i), 1), "a brace without its partner in a message",
                         "write {{ or }} for a brace itself");
      return std::nullopt;
    }
    std::string name = s.substr(i + 1, end - i - 1);
    Part part;
    std::optional<int> column = schema.Find(name);
    if (const size_t colon = name.rfind(':'); !column && colon != std::string::npos) {
      part.decimals = DecimalsOf(name.substr(colon + 1));
      if (part.decimals < 0) {
        diagnostics->Error("FR3405",
                           text.At(static_cast<int32_t>(i + 1 + colon), static_cast<int32_t>(name.size() - colon)),
                           "`" + name.substr(colon) + "` is no number format of a message",
                           "write for example `:.2f`, with 0 to 17 decimals");
        good = false;
      }
      name.resize(colon);
      column = schema.Find(name);
    }
    if (!column) {
      const std::string nearest = schema.Nearest(name);
      diagnostics->Error("FR3401", text.At(static_cast<int32_t>(i + 1), static_cast<int32_t>(name.size())),
                         "no column `" + name + "` for the message",
                         nearest.empty() ? "columns: " + schema.ToString() : "did you mean `" + nearest + "`?");
      good = false;
    }
    part.column = column.value_or(-1);
    out.parts_.push_back(part);
    out.parts_.emplace_back();
    i = end;
  }
  if (!good) return std::nullopt;
  return out;
}

std::vector<int> MessageTemplate::columns() const {
  std::vector<int> columns;
  for (const Part& p : parts_)
    if (p.column >= 0) columns.push_back(p.column);
  return columns;
}

std::string MessageTemplate::Render(const Batch& batch, int32_t row) const {
  std::string out;
  for (const Part& p : parts_) out += p.column < 0 ? p.text : ValueText(batch.column(p.column), row, p.decimals);
  return out;
}

std::string MessageTemplate::RenderUrl(const Batch& batch, int32_t row) const {
  std::string out;
  for (const Part& p : parts_)
    out += p.column < 0 ? p.text : UrlEncoded(ValueText(batch.column(p.column), row, p.decimals));
  return out;
}

std::string ValueText(const Column& column, int32_t row, int decimals) {
  if (column.IsNull(row)) return "-";
  char text[352];  // 309 digits before the point at most
  switch (column.type()) {
    case TypeId::kBool:
      return column.BoolAt(row) ? "true" : "false";
    case TypeId::kInt64: {
      const std::string digits = std::to_string(column.int64s()[row]);
      return decimals > 0 ? digits + "." + std::string(static_cast<size_t>(decimals), '0') : digits;
    }
    case TypeId::kTimestamp:
      return FormatTime({column.int64s()[row]});
    case TypeId::kFloat64: {
      const double v = column.float64s()[row];
      if (decimals >= 0)
        std::snprintf(text, sizeof text, "%.*f", std::min(decimals, 17), v);
      else
        std::snprintf(text, sizeof text, std::abs(v) >= 1e6 && std::abs(v) < 1e15 ? "%.0f" : "%.6g", v);
      return text;
    }
    case TypeId::kString:
    case TypeId::kJson:
      return std::string(column.StringAt(row));
    case TypeId::kListFloat64:
      return "[" + std::to_string(column.ListAt(row).size()) + " values]";
  }
  return {};
}

}  // namespace freshet
