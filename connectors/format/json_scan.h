#pragma once

#include <emmintrin.h>

#include <cstdint>
#include <cstring>
#include <string_view>

/// Scanners over JSON text, for bytes behind which at least 64 more can be read. Those named Valid… expect text that a
/// parser has accepted; the others check what they pass and give null where the text is wrong or only the DOM shall
/// judge.
namespace freshet {

inline bool IsJsonSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

inline const char* SkipJsonSpace(const char* p, const char* end) {
  while (p < end && IsJsonSpace(*p)) ++p;
  return p;
}

/// At most `bytes` bytes of `text`, cut between characters.
inline std::string_view Utf8Prefix(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

/// From a string's opening quote to behind its closing one.
inline const char* SkipValidString(const char* p) {
  for (++p; *p != '"'; ++p)
    if (*p == '\\') ++p;
  return p + 1;
}

/// From a value's first byte to behind its last.
inline const char* SkipValidValue(const char* p, const char* end) {
  if (*p == '"') return SkipValidString(p);
  if (*p != '{' && *p != '[') {
    while (p < end && !IsJsonSpace(*p) && *p != ',' && *p != '}' && *p != ']') ++p;
    return p;
  }
  for (int depth = 0;;) {
    if (*p == '"') {
      p = SkipValidString(p);
      continue;
    }
    if (*p == '{' || *p == '[') ++depth;
    if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
    ++p;
  }
}

/// From behind an opening quote to the closing one, if nothing comes before it that has to be looked at closely
/// (escapes, control characters); else null. UTF-8 is not checked.
inline const char* ScanPlainString(const char* p) {
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i control = _mm_set1_epi8(0x1f);
  for (;; p += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                                     _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
    const unsigned mask = static_cast<unsigned>(_mm_movemask_epi8(hit));
    if (mask != 0) {
      p += __builtin_ctz(mask);
      return *p == '"' ? p : nullptr;
    }
  }
}

}  // namespace freshet
