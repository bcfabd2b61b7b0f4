#include "connectors/format/record_run.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "connectors/format/json_number.h"

namespace freshet {
namespace {

bool IsStop(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; }

/// true, false or null, all of [p, end).
bool IsWord(const char* p, const char* end) {
  const std::string_view word(p, static_cast<size_t>(std::max<int64_t>(end - p, 0)));
  return word == "true" || word == "false" || word == "null";
}

/// Any number, or such a word.
[[gnu::noinline]] bool IsScalar(const char* p, const char* end) {
  return (end > p && SkipJsonNumber(p) == end) || IsWord(p, end);
}

bool IsNull(const char* p, const char* end) { return end - p == 4 && std::memcmp(p, "null", 4) == 0; }

}  // namespace

struct RecordRun::Places {
  const char* values;    ///< + *stop: the first byte of the value
  const char* ends;      ///< + *next_stop: behind its last
  const uint32_t* stop;  ///< of the first record; those of the next ones follow at a distance of `stride`
  const uint32_t* next_stop;
  int32_t stride;
  const char* begin(int32_t i) const { return values + stop[i * stride]; }
  const char* end(int32_t i) const { return ends + next_stop[i * stride]; }
};

RecordRun::RecordRun(const RecordLayout& layout) : absent_(layout.absent) {
  bool text_before = false;
  int32_t stops = 0;
  for (const RecordLayout::Step& step : layout.steps) {
    if (step.seen == RecordLayout::Seen::kContainer) return;
    // What JSON may be there is told by a closer look, but for text.
    if (step.op == RecordLayout::Op::kJson && step.seen != RecordLayout::Seen::kText) return;
    const bool end = step.op == RecordLayout::Op::kEnd;
    const bool text = !end && (step.seen == RecordLayout::Seen::kText || step.op == RecordLayout::Op::kString);
    const std::string literal =
        (text_before ? "\"" : "") + std::string(step.literal, static_cast<size_t>(step.size)) + (text ? "\"" : "");
    Gap gap;
    std::memcpy(gap.literal, literal.data(), literal.size());
    gap.size = static_cast<int32_t>(literal.size());
    gap.mask = (uint32_t{1} << ((gap.size - 1) % 16 + 1)) - 1;
    gap.first_stop = static_cast<int32_t>(std::find_if(literal.begin(), literal.end(), IsStop) - literal.begin());
    gap.stop = stops;
    const auto in_literal = static_cast<int32_t>(std::count_if(literal.begin(), literal.end(), IsStop));
    if (in_literal == 0) return;
    stops += in_literal;
    gaps_.push_back(gap);
    if (!end) values_.push_back({step.op, text, step.column, step.time});
    text_before = text;
  }
  stop_count_ = stops;
}

/// How many records begin where the one before ends, and are not too long.
int32_t RecordRun::CountBeginnings(const Text& text, const Gap& first, int32_t stop_count, int32_t count) {
  const char* record = text.record;
  for (int32_t i = 0; i < count; ++i) {
    const uint32_t* const stops = text.stops + i * stop_count;
    const char* const line_feed = text.begin + stops[stop_count - 1];
    if (text.begin + stops[0] - first.first_stop != record || line_feed - record > text.record_bytes_max) return i;
    record = line_feed + 1;
  }
  return count;
}

int32_t RecordRun::CountMatches(const Gap& gap, const Text& text, int32_t stop_count, int32_t count) {
  const auto block_of = [](const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); };
  const auto equal = [&](const char* a, __m128i b) {
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block_of(a), b)));
  };
  const char* const base = text.begin - gap.first_stop;
  const uint32_t* stop = text.stops + gap.stop;
  int32_t before = 0;  // bytes in whole blocks before the last one
  for (; gap.size - before > 16; before += 16) {
    const __m128i literal = block_of(gap.literal + before);
    for (int32_t i = 0; i < count; ++i)
      if (equal(base + before + stop[i * stop_count], literal) != 0xffff) {
        count = i;
        break;
      }
  }
  const __m128i literal = block_of(gap.literal + before);
  const uint32_t mask = gap.mask;
  for (int32_t i = 0; i < count; ++i)
    if ((equal(base + before + stop[i * stop_count], literal) & mask) != mask) return i;
  return count;
}

int32_t RecordRun::ReadValues(const Value& value, const Places& places, int32_t count, RowColumns* rows) {
  using Op = RecordLayout::Op;
  int64_t* const words =
      value.column >= 0 && value.op != Op::kString && value.op != Op::kJson ? rows->words(value.column) : nullptr;
  const auto put = [&](int32_t i, auto v) {
    static_assert(sizeof v == sizeof *words);
    if (words != nullptr) std::memcpy(words + i, &v, sizeof v);
  };
  // What is not of the column's type may still be null.
  const auto is_null = [&](int32_t i) {
    if (!IsNull(places.begin(i), places.end(i))) return false;
    if (value.column >= 0) rows->SetNullAt(value.column, i);
    return true;
  };
  switch (value.op) {
    case Op::kString:
    case Op::kJson: {
      if (value.column < 0) return count;
      const int quotes = value.op == Op::kJson ? 1 : 0;  // are part of the value
      rows->SetStrings(value.column, count, [&](int32_t i) {
        const char* const begin = places.begin(i) - quotes;
        return std::string_view(begin, static_cast<size_t>(places.end(i) + quotes - begin));
      });
      return count;
    }
    case Op::kInt64:
      for (int32_t i = 0; i < count; ++i) {
        int64_t v = 0;
        if (ReadWholeInteger(places.begin(i), places.end(i), &v))
          put(i, v);
        else if (!is_null(i))
          return i;
      }
      return count;
    case Op::kFloat64:
      for (int32_t i = 0; i < count; ++i) {
        double v = 0;
        if (ReadWholeNumber(places.begin(i), places.end(i), &v))
          put(i, v);
        else if (!is_null(i))
          return i;
      }
      return count;
    case Op::kTimestamp:
      for (int32_t i = 0; i < count; ++i) {
        const char* const begin = places.begin(i);
        const char* const end = places.end(i);
        int64_t epoch = 0;
        std::optional<int64_t> us;
        if (value.text)
          us = value.time->ParseText({begin, static_cast<size_t>(end - begin)});
        else if (ReadWholeInteger(begin, end, &epoch))
          us = value.time->ParseInteger(epoch);
        else if (is_null(i))
          continue;
        if (!us) return i;
        put(i, *us);
      }
      return count;
    case Op::kBool:
      for (int32_t i = 0; i < count; ++i) {
        const char* const begin = places.begin(i);
        if (!IsWord(begin, places.end(i))) return i;
        if (!is_null(i) && value.column >= 0) rows->SetBoolAt(value.column, i, *begin == 't');
      }
      return count;
    case Op::kSkip:
      for (int32_t i = 0; i < count; ++i) {
        int64_t v = 0;
        if (!ReadWholeInteger(places.begin(i), places.end(i), &v) && !IsScalar(places.begin(i), places.end(i)))
          return i;
      }
      return count;
    case Op::kEnd:
      break;
  }
  return count;
}

int32_t RecordRun::Decode(const Text& text, int32_t count, RowColumns* rows) const {
  rows->BeginRows(count);
  count = CountBeginnings(text, gaps_.front(), stop_count_, count);
  for (size_t g = 0; g < gaps_.size() && count > 0; ++g) {
    const Gap& gap = gaps_[g];
    count = CountMatches(gap, text, stop_count_, count);
    if (g == values_.size()) break;
    const Value& value = values_[g];
    if (value.text && value.op == RecordLayout::Op::kSkip) continue;
    const Gap& next = gaps_[g + 1];
    const Places places{text.begin - gap.first_stop + gap.size, text.begin - next.first_stop, text.stops + gap.stop,
                        text.stops + next.stop, stop_count_};
    count = ReadValues(value, places, count, rows);
  }
  for (const int column : absent_)
    for (int32_t i = 0; i < count; ++i) rows->SetNullAt(column, i);
  return count;
}

}  // namespace freshet
