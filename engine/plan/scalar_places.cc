#include "engine/plan/scalar_places.h"

#include <algorithm>

namespace freshet {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsBreak(char c) { return c == '\n' || c == '\r'; }

/// Skips `&anchor` and `!tag` in front of a scalar, with the white space and comments between.
size_t SkipProperties(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (IsBlank(text[at])) {
      ++at;
    } else if (text[at] == '&' || text[at] == '!') {
      while (at < text.size() && !IsBlank(text[at])) ++at;
    } else if (text[at] == '#' && at > 0 && IsBlank(text[at - 1])) {
      while (at < text.size() && !IsBreak(text[at])) ++at;
    } else {
      break;
    }
  }
  return at;
}

ScalarPlaces::Style StyleAt(std::string_view text, size_t at) {
  if (at >= text.size()) return ScalarPlaces::Style::kPlain;
  switch (text[at]) {
    case '\'':
      return ScalarPlaces::Style::kSingleQuoted;
    case '"':
      return ScalarPlaces::Style::kDoubleQuoted;
    case '|':
    case '>':
      return ScalarPlaces::Style::kBlock;
    default:
      return ScalarPlaces::Style::kPlain;
  }
}

/// Bytes of the escape at `at` (a backslash) in a double-quoted scalar.
size_t EscapeLength(std::string_view text, size_t at) {
  if (at + 1 >= text.size()) return 1;
  switch (text[at + 1]) {
    case 'x':
      return 4;
    case 'u':
      return 6;
    case 'U':
      return 10;
    default:
      return 2;
  }
}

size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0x80) return 1;
  if (byte < 0xE0) return 2;
  return byte < 0xF0 ? 3 : 4;
}

class Walker {
 public:
  Walker(std::string_view text, std::string_view value, const LineTable& lines, ScalarPlaces* places)
      : text_(text), value_(value), lines_(lines), places_(places) {}

  void Walk(size_t at) {
    at_ = at;
    if (places_->style == ScalarPlaces::Style::kBlock) {
      while (at_ < text_.size() && !IsBreak(text_[at_])) ++at_;
      SkipBlanks();
      while (out_ < value_.size() && IsBlank(value_[out_])) ++out_;
    } else if (places_->style != ScalarPlaces::Style::kPlain) {
      ++at_;
    }
    AddPiece();
    while (out_ < value_.size() && at_ < text_.size() && Step()) {
    }
    const bool quoted =
        places_->style == ScalarPlaces::Style::kSingleQuoted || places_->style == ScalarPlaces::Style::kDoubleQuoted;
    if (quoted) {
      const char quote = places_->style == ScalarPlaces::Style::kSingleQuoted ? '\'' : '"';
      while (at_ < text_.size() && text_[at_] != quote) ++at_;
      at_ = std::min(at_ + 1, text_.size());
    }
    places_->end = at_;
  }

 private:
  void AddPiece() {
    const LineTable::Place place = lines_.At(at_);
    std::vector<SpannedText::LineStart>& pieces = places_->pieces;
    if (!pieces.empty() && pieces.back().value_offset == static_cast<int32_t>(out_)) pieces.pop_back();
    pieces.push_back({static_cast<int32_t>(out_), place.line, place.column});
  }

  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  }

  bool BreakAhead() const {
    for (size_t i = at_; i < text_.size() && IsBlank(text_[i]); ++i) {
      if (IsBreak(text_[i])) return true;
    }
    return false;
  }

  /// One byte, one escape or one folded line break; false when file and value no longer agree.
  bool Step() {
    using Style = ScalarPlaces::Style;
    if (IsBlank(text_[at_]) && BreakAhead()) {
      SkipBlanks();
      while (out_ < value_.size() && IsBlank(value_[out_])) ++out_;
      AddPiece();
      return true;
    }
    if (places_->style == Style::kDoubleQuoted && text_[at_] == '\\') {
      const bool joins_lines = at_ + 1 < text_.size() && IsBreak(text_[at_ + 1]);
      at_ = std::min(at_ + (joins_lines ? 1 : EscapeLength(text_, at_)), text_.size());
      if (joins_lines)
        SkipBlanks();
      else
        out_ = std::min(out_ + Utf8Length(value_[out_]), value_.size());
      AddPiece();
      return true;
    }
    if (text_[at_] != value_[out_]) return false;
    const bool doubled = places_->style == Style::kSingleQuoted && text_[at_] == '\'';
    at_ += doubled ? 2 : 1;
    ++out_;
    if (doubled) AddPiece();
    return true;
  }

  std::string_view text_;
  std::string_view value_;
  const LineTable& lines_;
  ScalarPlaces* places_;
  size_t at_ = 0;
  size_t out_ = 0;
};

}  // namespace

LineTable::LineTable(std::string_view text) : starts_{0}, size_(text.size()) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') starts_.push_back(i + 1);
  }
}

LineTable::Place LineTable::At(size_t offset) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), std::min(offset, size_));
  const auto line = static_cast<size_t>(after - starts_.begin());
  return {static_cast<int32_t>(line), static_cast<int32_t>(std::min(offset, size_) - starts_[line - 1] + 1)};
}

size_t LineTable::LineEnd(size_t offset) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
  return after == starts_.end() ? size_ : *after - 1;
}

ScalarPlaces LocateScalar(std::string_view text, size_t at, std::string_view value, const LineTable& lines) {
  ScalarPlaces places;
  places.begin = SkipProperties(text, at);
  places.style = StyleAt(text, places.begin);
  Walker(text, value, lines, &places).Walk(places.begin);
  return places;
}

}  // namespace freshet
