#include "engine/options/diagnostics.h"

#include <algorithm>
#include <tuple>

namespace freshet {
namespace {

constexpr int kExcerptBytes = 140;  // longer source lines are cut around the caret

std::string_view NameOf(const SourceSpan& span) {
  return span.text == nullptr ? std::string_view() : std::string_view(span.text->name);
}

/// The bytes of a 1-based line, without its end.
std::string LineOf(const SourceText& text, int32_t line) {
  size_t begin = 0;
  for (int32_t i = 1; i < line; ++i) {
    begin = text.bytes.find('\n', begin);
    if (begin == std::string::npos) return {};
    ++begin;
  }
  size_t end = text.bytes.find('\n', begin);
  if (end == std::string::npos) end = text.bytes.size();
  if (end > begin && text.bytes[end - 1] == '\r') --end;
  return text.bytes.substr(begin, end - begin);
}

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string PlaceOf(const SourceSpan& span) {
  if (span.text == nullptr) return {};
  if (!span.known()) return span.text->name + ": ";
  return span.text->name + ":" + std::to_string(span.line) + ":" + std::to_string(span.column) + ": ";
}

auto OrderOf(const Diagnostic& d) {
  return std::make_tuple(NameOf(d.span), d.span.line, d.span.column, static_cast<int>(d.severity),
                         std::string_view(d.code), std::string_view(d.message), d.span.length);
}

/// Replaces control bytes, which would move a terminal's cursor, and cuts a long line to a window around the caret.
/// Moves `begin` and `end` (byte offsets in `line`) with it.
void Tame(std::string* line, int* begin, int* end) {
  for (char& c : *line) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') c = '?';
  }
  if (static_cast<int>(line->size()) <= kExcerptBytes) return;
  int from = std::max(0, *begin - kExcerptBytes / 2);
  int to = std::min(static_cast<int>(line->size()), from + kExcerptBytes);
  while (from > 0 && IsContinuation((*line)[static_cast<size_t>(from)])) --from;
  while (to < static_cast<int>(line->size()) && IsContinuation((*line)[static_cast<size_t>(to)])) ++to;
  const bool cut_left = from > 0;
  const bool cut_right = to < static_cast<int>(line->size());
  *line = (cut_left ? "..." : "") + line->substr(static_cast<size_t>(from), static_cast<size_t>(to - from)) +
          (cut_right ? "..." : "");
  const int shift = (cut_left ? 3 : 0) - from;
  *begin += shift;
  *end = std::min(*end + shift, static_cast<int>(line->size()));
}

}  // namespace

void Diagnostics::Add(Diagnostic diagnostic) {
  ++(diagnostic.severity == DiagnosticLevel::kError ? error_count_ : warning_count_);
  items_.push_back(std::move(diagnostic));
}

void Diagnostics::Error(std::string_view code, SourceSpan span, std::string message, std::string suggestion) {
  Add({DiagnosticLevel::kError, std::move(span), std::string(code), std::move(message), std::move(suggestion)});
}

void Diagnostics::Warning(std::string_view code, SourceSpan span, std::string message, std::string suggestion) {
  Add({DiagnosticLevel::kWarning, std::move(span), std::string(code), std::move(message), std::move(suggestion)});
}

void Diagnostics::Conceal(SourceSpan span) {
  if (span.known()) concealed_.push_back(std::move(span));
}

void Diagnostics::Append(const Diagnostics& other) {
  for (const Diagnostic& d : other.items_) Add(d);
  concealed_.insert(concealed_.end(), other.concealed_.begin(), other.concealed_.end());
}

std::vector<Diagnostic> Diagnostics::Sorted() const {
  std::vector<Diagnostic> sorted = items_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Diagnostic& a, const Diagnostic& b) { return OrderOf(a) < OrderOf(b); });
  const auto same = [](const Diagnostic& a, const Diagnostic& b) { return OrderOf(a) == OrderOf(b); };
  sorted.erase(std::unique(sorted.begin(), sorted.end(), same), sorted.end());
  return sorted;
}

void Diagnostics::AppendExcerpt(const SourceSpan& span, const char* caret_color, const char* reset,
                                std::string* out) const {
  if (span.text == nullptr || !span.known()) return;
  std::string line = LineOf(*span.text, span.line);
  for (const SourceSpan& hidden : concealed_) {
    if (hidden.line != span.line || NameOf(hidden) != NameOf(span)) continue;
    for (int i = 0; i < hidden.length; ++i) {
      const auto at = static_cast<size_t>(hidden.column - 1 + i);
      if (at < line.size()) line[at] = '*';
    }
  }
  int begin = std::min(span.column - 1, static_cast<int>(line.size()));
  int end = std::min(begin + std::max(1, span.length), std::max(begin + 1, static_cast<int>(line.size())));
  Tame(&line, &begin, &end);
  const std::string number = std::to_string(span.line);
  *out += "  " + number + " | " + line + "\n  " + std::string(number.size(), ' ') + " | ";
  for (int i = 0; i < begin; ++i) {
    const char c = line[static_cast<size_t>(i)];
    if (!IsContinuation(c)) *out += c == '\t' ? '\t' : ' ';
  }
  *out += caret_color;
  *out += '^';
  for (int i = begin + 1; i < end; ++i) {
    if (i >= static_cast<int>(line.size()) || !IsContinuation(line[static_cast<size_t>(i)])) *out += '~';
  }
  *out += reset;
  *out += '\n';
}

std::string Diagnostics::Render(bool color) const {
  const char* const bold = color ? "\x1b[1m" : "";
  const char* const red = color ? "\x1b[1;31m" : "";
  const char* const yellow = color ? "\x1b[1;33m" : "";
  const char* const cyan = color ? "\x1b[36m" : "";
  const char* const reset = color ? "\x1b[0m" : "";
  std::string out;
  for (const Diagnostic& d : Sorted()) {
    const bool error = d.severity == DiagnosticLevel::kError;
    const char* const accent = error ? red : yellow;
    out += bold + PlaceOf(d.span) + reset + accent + (error ? "error: " : "warning: ") + reset + bold + d.message +
           reset + " [" + d.code + "]\n";
    AppendExcerpt(d.span, accent, reset, &out);
    for (const SourceSpan* use = d.span.used_at.get(); use != nullptr; use = use->used_at.get()) {
      out += bold + PlaceOf(*use) + reset + cyan + "note: " + reset + "used here\n";
      AppendExcerpt(*use, cyan, reset, &out);
    }
    if (!d.suggestion.empty()) out += std::string("  = ") + cyan + d.suggestion + reset + "\n";
  }
  return out;
}

}  // namespace freshet
