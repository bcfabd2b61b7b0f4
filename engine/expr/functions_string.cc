#include <locale.h>
#include <wctype.h>

#include <algorithm>

#include "engine/expr/row_kernel.h"

namespace freshet::expr_internal {
namespace {

using View = std::string_view;

/// The longest text that a function makes for one row.
constexpr int64_t kTextBytesMax = 1 << 20;

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

int64_t CharCount(View s) {
  int64_t n = 0;
  for (const char c : s) n += Continues(c) ? 0 : 1;
  return n;
}

/// Byte offset of a character (0-based); the size if there are fewer.
size_t OffsetOf(View s, int64_t character) {
  size_t at = 0;
  for (; at < s.size() && character > 0; --character) {
    ++at;
    while (at < s.size() && Continues(s[at])) ++at;
  }
  return at;
}

/// Characters [from, to), both clamped.
View Chars(View s, int64_t from, int64_t to) {
  from = std::max<int64_t>(from, 0);
  if (to <= from) return {};
  const size_t begin = OffsetOf(s, from);
  return s.substr(begin, OffsetOf(s.substr(begin), to - from));
}

Outcome Length(RowState&, int64_t& out, View s) { return out = CharCount(s), Outcome::kValue; }

/// Decodes one character; a byte that is no UTF-8 stands for itself with size 1 and code -1.
int32_t Decode(View s, size_t at, size_t* size) {
  const auto c = static_cast<unsigned char>(s[at]);
  const size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
  *size = 1;
  if (n == 1) return c;
  if (n == 0 || at + n > s.size()) return -1;
  int32_t code = c & (0x7f >> n);
  for (size_t i = 1; i < n; ++i) {
    if (!Continues(s[at + i])) return -1;
    code = code << 6 | (s[at + i] & 0x3f);
  }
  *size = n;
  return code;
}

size_t Encode(int32_t code, char* out) {
  if (code < 0x80) return out[0] = static_cast<char>(code), 1;
  const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; --i, code >>= 6) out[i] = static_cast<char>(0x80 | (code & 0x3f));
  out[0] = static_cast<char>((0xf00 >> n & 0xff) | code);
  return n;
}

/// The one locale whose letters are those of Unicode and that every Debian has.
locale_t UnicodeLocale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

View MapCase(VecWriter& out, View s, bool upper) {
  bool ascii = true;
  for (const char c : s) ascii &= (c & 0x80) == 0;
  // A mapped character may need a byte more than it had.
  char* text = out.Allocate(ascii ? s.size() : 2 * s.size());
  if (ascii) {
    const char first = upper ? 'a' : 'A';
    for (size_t i = 0; i < s.size(); ++i)
      text[i] = s[i] >= first && s[i] <= first + 25 ? static_cast<char>(s[i] ^ 0x20) : s[i];
    return {text, s.size()};
  }
  size_t size = 0;
  for (size_t at = 0, step = 0; at < s.size(); at += step) {
    const int32_t code = Decode(s, at, &step);
    if (code < 0 || UnicodeLocale() == nullptr) {
      text[size++] = s[at];
      step = 1;
      continue;
    }
    const auto mapped = upper ? towupper_l(static_cast<wint_t>(code), UnicodeLocale())
                              : towlower_l(static_cast<wint_t>(code), UnicodeLocale());
    size += Encode(static_cast<int32_t>(mapped), text + size);
  }
  return {text, size};
}

Outcome Upper(RowState& state, View& out, View s) { return out = MapCase(*state.out, s, true), Outcome::kValue; }
Outcome LowerText(RowState& state, View& out, View s) { return out = MapCase(*state.out, s, false), Outcome::kValue; }

View TrimChars(View s, View chars, bool left, bool right) {
  const size_t first = left ? s.find_first_not_of(chars) : 0;
  if (first == View::npos) return {};
  s.remove_prefix(first);
  if (!right) return s;
  const size_t last = s.find_last_not_of(chars);
  return last == View::npos ? View() : s.substr(0, last + 1);
}
constexpr View kBlank = " \t\n\r";
Outcome Trim(RowState&, View& out, View s) { return out = TrimChars(s, kBlank, true, true), Outcome::kValue; }
Outcome Ltrim(RowState&, View& out, View s) { return out = TrimChars(s, kBlank, true, false), Outcome::kValue; }
Outcome Rtrim(RowState&, View& out, View s) { return out = TrimChars(s, kBlank, false, true), Outcome::kValue; }
Outcome TrimOf(RowState&, View& out, View s, View chars) {
  return out = TrimChars(s, chars, true, true), Outcome::kValue;
}
Outcome LtrimOf(RowState&, View& out, View s, View chars) {
  return out = TrimChars(s, chars, true, false), Outcome::kValue;
}
Outcome RtrimOf(RowState&, View& out, View s, View chars) {
  return out = TrimChars(s, chars, false, true), Outcome::kValue;
}

/// A negative start counts from the end.
int64_t FirstChar(View s, int64_t start) {
  return start >= 0 ? start - 1 : std::max<int64_t>(start, -kTextBytesMax * 4) + CharCount(s);
}

Outcome Substr(RowState&, View& out, View s, int64_t start) {
  return out = Chars(s, FirstChar(s, start), INT64_MAX), Outcome::kValue;
}
Outcome SubstrLength(RowState&, View& out, View s, int64_t start, int64_t length) {
  if (length < 0) return Outcome::kFailed;
  const int64_t first = FirstChar(s, start);
  int64_t end = 0;
  if (__builtin_add_overflow(first, length, &end)) end = INT64_MAX;
  return out = Chars(s, first, end), Outcome::kValue;
}
Outcome Left(RowState&, View& out, View s, int64_t n) {
  return out = Chars(s, 0, n >= 0 ? n : CharCount(s) + n), Outcome::kValue;
}
Outcome Right(RowState&, View& out, View s, int64_t n) {
  return out = Chars(s, n >= 0 ? CharCount(s) - std::min(n, CharCount(s)) : -std::max(n, -CharCount(s)), INT64_MAX),
         Outcome::kValue;
}

Outcome Replace(RowState& state, View& out, View s, View from, View to) {
  out = s;
  if (from.empty()) return Outcome::kValue;
  std::string text;
  size_t at = 0;
  for (size_t hit = s.find(from); hit != View::npos; hit = s.find(from, at)) {
    text.append(s.substr(at, hit - at)).append(to);
    at = hit + from.size();
    if (static_cast<int64_t>(text.size()) > kTextBytesMax) return Outcome::kFailed;
  }
  if (at == 0) return Outcome::kValue;
  out = state.out->Keep(text.append(s.substr(at)));
  return Outcome::kValue;
}

Outcome SplitPart(RowState&, View& out, View s, View separator, int64_t n) {
  if (n == 0) return Outcome::kFailed;
  if (separator.empty()) return out = n == 1 || n == -1 ? s : View(), Outcome::kValue;
  int64_t parts = 1;
  for (size_t hit = s.find(separator); hit != View::npos; hit = s.find(separator, hit + separator.size())) ++parts;
  if (n < 0) n += parts + 1;
  if (n < 1 || n > parts) return Outcome::kValue;
  for (; n > 1; --n) s.remove_prefix(s.find(separator) + separator.size());
  out = s.substr(0, s.find(separator));
  return Outcome::kValue;
}

Outcome StartsWith(RowState&, bool& out, View s, View part) { return out = s.starts_with(part), Outcome::kValue; }
Outcome EndsWith(RowState&, bool& out, View s, View part) { return out = s.ends_with(part), Outcome::kValue; }
Outcome Contains(RowState&, bool& out, View s, View part) { return out = s.find(part) != View::npos, Outcome::kValue; }

Outcome Strpos(RowState&, int64_t& out, View s, View part) {
  const size_t at = s.find(part);
  out = at == View::npos ? 0 : CharCount(s.substr(0, at)) + 1;
  return Outcome::kValue;
}
Outcome Position(RowState& state, int64_t& out, View part, View s) { return Strpos(state, out, s, part); }

Outcome Pad(RowState& state, View& out, View s, int64_t length, View fill, bool left) {
  if (length > kTextBytesMax) return Outcome::kFailed;
  const int64_t missing = length - CharCount(s);
  if (missing <= 0 || fill.empty()) return out = Chars(s, 0, length), Outcome::kValue;
  std::string padding;
  const int64_t fill_chars = std::max<int64_t>(CharCount(fill), 1);
  for (int64_t i = 0; i < missing / fill_chars; ++i) padding += fill;
  padding += Chars(fill, 0, missing % fill_chars);
  out = state.out->Keep(left ? padding.append(s) : std::string(s).append(padding));
  return Outcome::kValue;
}
Outcome Lpad(RowState& state, View& out, View s, int64_t n) { return Pad(state, out, s, n, " ", true); }
Outcome Rpad(RowState& state, View& out, View s, int64_t n) { return Pad(state, out, s, n, " ", false); }
Outcome LpadWith(RowState& state, View& out, View s, int64_t n, View fill) { return Pad(state, out, s, n, fill, true); }
Outcome RpadWith(RowState& state, View& out, View s, int64_t n, View fill) {
  return Pad(state, out, s, n, fill, false);
}

Outcome Reverse(RowState& state, View& out, View s) {
  char* text = state.out->Allocate(s.size());
  size_t to = s.size();
  for (size_t at = 0, next = 0; at < s.size(); at = next) {
    next = at + 1;
    while (next < s.size() && Continues(s[next])) ++next;
    to -= next - at;
    std::copy_n(s.data() + at, next - at, text + to);
  }
  return out = {text, s.size()}, Outcome::kValue;
}

Outcome Repeat(RowState& state, View& out, View s, int64_t n) {
  if (n <= 0 || s.empty()) return Outcome::kValue;
  if (n > kTextBytesMax / static_cast<int64_t>(s.size())) return Outcome::kFailed;
  char* text = state.out->Allocate(s.size() * static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) std::copy_n(s.data(), s.size(), text + static_cast<size_t>(i) * s.size());
  return out = {text, s.size() * static_cast<size_t>(n)}, Outcome::kValue;
}

constexpr Kind kText = Kind::kString;

constexpr Function kFunctions[] = {
    {"length", "s", Kind::kInt64, &RowKernel<Length>::Run, nullptr, "length(string) -> int64",
     "the number of characters"},
    {"upper", "s", kText, &RowKernel<Upper>::Run, nullptr, "upper(string) -> string", "in capitals"},
    {"lower", "s", kText, &RowKernel<LowerText>::Run, nullptr, "lower(string) -> string", "in small letters"},
    {"trim", "s", kText, &RowKernel<Trim>::Run, nullptr, "trim(string) -> string", "without blanks at both ends"},
    {"trim", "ss", kText, &RowKernel<TrimOf>::Run, nullptr, "trim(string, characters) -> string",
     "without any of these ASCII characters at both ends"},
    {"ltrim", "s", kText, &RowKernel<Ltrim>::Run, nullptr, "ltrim(string) -> string", "without blanks at its start"},
    {"ltrim", "ss", kText, &RowKernel<LtrimOf>::Run, nullptr, "ltrim(string, characters) -> string",
     "without any of these at its start"},
    {"rtrim", "s", kText, &RowKernel<Rtrim>::Run, nullptr, "rtrim(string) -> string", "without blanks at its end"},
    {"rtrim", "ss", kText, &RowKernel<RtrimOf>::Run, nullptr, "rtrim(string, characters) -> string",
     "without any of these at its end"},
    {"substr", "si", kText, &RowKernel<Substr>::Run, nullptr, "substr(string, start) -> string",
     "from a character on; the first is 1, -1 is the last"},
    {"substr", "sii", kText, &RowKernel<SubstrLength>::Run, nullptr, "substr(string, start, length) -> string",
     "that many characters from a character on"},
    {"substring", "si", kText, &RowKernel<Substr>::Run, nullptr, "substring(string, start) -> string", "as substr"},
    {"substring", "sii", kText, &RowKernel<SubstrLength>::Run, nullptr, "substring(string, start, length) -> string",
     "as substr"},
    {"left", "si", kText, &RowKernel<Left>::Run, nullptr, "left(string, n) -> string",
     "the first n characters; with a negative n all but the last -n"},
    {"right", "si", kText, &RowKernel<Right>::Run, nullptr, "right(string, n) -> string",
     "the last n characters; with a negative n all but the first -n"},
    {"replace", "sss", kText, &RowKernel<Replace>::Run, nullptr, "replace(string, from, to) -> string",
     "every `from` replaced"},
    {"split_part", "ssi", kText, &RowKernel<SplitPart>::Run, nullptr, "split_part(string, separator, n) -> string",
     "the n-th part (from 1; -1 is the last), empty if there are fewer"},
    {"starts_with", "ss", Kind::kBool, &RowKernel<StartsWith>::Run, nullptr, "starts_with(string, part) -> bool",
     "whether it starts with the part"},
    {"ends_with", "ss", Kind::kBool, &RowKernel<EndsWith>::Run, nullptr, "ends_with(string, part) -> bool",
     "whether it ends with the part"},
    {"contains", "ss", Kind::kBool, &RowKernel<Contains>::Run, nullptr, "contains(string, part) -> bool",
     "whether the part occurs in it"},
    {"position", "ss", Kind::kInt64, &RowKernel<Position>::Run, nullptr, "position(part in string) -> int64",
     "the character where the part begins (from 1), 0 if nowhere"},
    {"strpos", "ss", Kind::kInt64, &RowKernel<Strpos>::Run, nullptr, "strpos(string, part) -> int64",
     "as position, operands the other way round"},
    {"lpad", "si", kText, &RowKernel<Lpad>::Run, nullptr, "lpad(string, n) -> string",
     "filled with blanks on the left, or cut, to n characters"},
    {"lpad", "sis", kText, &RowKernel<LpadWith>::Run, nullptr, "lpad(string, n, fill) -> string",
     "filled on the left, or cut, to n characters"},
    {"rpad", "si", kText, &RowKernel<Rpad>::Run, nullptr, "rpad(string, n) -> string",
     "filled with blanks on the right, or cut, to n characters"},
    {"rpad", "sis", kText, &RowKernel<RpadWith>::Run, nullptr, "rpad(string, n, fill) -> string",
     "filled on the right, or cut, to n characters"},
    {"reverse", "s", kText, &RowKernel<Reverse>::Run, nullptr, "reverse(string) -> string",
     "its characters from the last to the first"},
    {"repeat", "si", kText, &RowKernel<Repeat>::Run, nullptr, "repeat(string, n) -> string",
     "n times end to end; null beyond 1 MiB"},
};

}  // namespace

std::span<const Function> StringFunctions() { return kFunctions; }

}  // namespace freshet::expr_internal
