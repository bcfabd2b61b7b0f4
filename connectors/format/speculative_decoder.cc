#include "connectors/format/speculative_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connectors/format/json_number.h"
#include "connectors/format/json_scan.h"
#include "connectors/format/kernels/find_stops.h"

namespace freshet {
namespace {

constexpr size_t kLayoutsMax = 4;
constexpr size_t kStepsMax = 256;
constexpr int64_t kMissesPerRelearning = 64;
constexpr int kNestingMax = 32;

bool IsNull(const char* p) { return std::memcmp(p, "null", 4) == 0; }

const char* SkipBlanks(const char* p) {
  while (*p == ' ' || *p == '\t' || *p == '\r') ++p;
  return p;
}

const char* CheckedValue(const char* p, int depth);

/// From an object's or array's bracket to behind its end.
const char* CheckedContainer(const char* p, int depth) {
  const bool object = *p == '{';
  const char close = object ? '}' : ']';
  if (depth >= kNestingMax) return nullptr;
  p = SkipBlanks(p + 1);
  if (*p == close) return p + 1;
  for (;;) {
    if (object) {
      if (*p != '"' || (p = ScanPlainString(p + 1)) == nullptr) return nullptr;
      p = SkipBlanks(p + 1);
      if (*p != ':') return nullptr;
      p = SkipBlanks(p + 1);
    }
    p = CheckedValue(p, depth + 1);
    if (p == nullptr) return nullptr;
    p = SkipBlanks(p);
    if (*p == close) return p + 1;
    if (*p != ',') return nullptr;
    p = SkipBlanks(p + 1);
  }
}

/// Passes any value, checking it. What follows a number or a word is the caller's to check.
const char* CheckedValue(const char* p, int depth) {
  switch (*p) {
    case '"':
      p = ScanPlainString(p + 1);
      return p != nullptr ? p + 1 : nullptr;
    case '{':
    case '[':
      return CheckedContainer(p, depth);
    case 't':
      return std::memcmp(p, "true", 4) == 0 ? p + 4 : nullptr;
    case 'f':
      return std::memcmp(p + 1, "alse", 4) == 0 ? p + 5 : nullptr;
    case 'n':
      return IsNull(p) ? p + 4 : nullptr;
    default:
      return SkipJsonNumber(p);
  }
}

}  // namespace

SpeculativeDecoder::SpeculativeDecoder(const SourceSchema* schema, const JsonFieldTree* tree)
    : schema_(*schema), tree_(*tree), enabled_(tree->one_field_per_value()), seen_(static_cast<size_t>(tree->size())) {}

inline bool SpeculativeDecoder::Matches(const Step& step, const char* p) {
  const auto block_of = [](const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); };
  const char* literal = step.literal;
  int32_t left = step.size;
  for (; left > 16; left -= 16, literal += 16, p += 16)
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(block_of(p), block_of(literal))) != 0xffff) return false;
  const auto equal = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block_of(p), block_of(literal))));
  return (equal & step.mask) == step.mask;
}

inline const char* SpeculativeDecoder::ReadValue(const Step& step, const char* p, RowColumns* rows) {
  if (step.op == Op::kSkip) return CheckedValue(p, 0);
  if (*p == 'n') {
    if (!IsNull(p)) return nullptr;
    if (step.column >= 0) rows->SetNull(step.column);
    return p + 4;
  }
  switch (step.op) {
    case Op::kString: {
      if (*p != '"') return nullptr;
      const char* const end = ScanPlainString(p + 1);
      if (end == nullptr) return nullptr;
      if (step.column >= 0) rows->SetString(step.column, p + 1, end - p - 1, true);
      return end + 1;
    }
    case Op::kInt64: {
      int64_t value = 0;
      p = ReadJsonInteger(p, &value);
      if (p != nullptr && step.column >= 0) rows->SetInt64(step.column, value);
      return p;
    }
    case Op::kFloat64: {
      double value = 0;
      p = ReadJsonNumber(p, &value);
      if (p != nullptr && step.column >= 0) rows->SetFloat64(step.column, value);
      return p;
    }
    case Op::kBool: {
      const bool value = *p == 't';
      if (!value && *p != 'f') return nullptr;
      p = CheckedValue(p, 0);
      if (p != nullptr && step.column >= 0) rows->SetBool(step.column, value);
      return p;
    }
    case Op::kTimestamp: {
      std::optional<int64_t> us;
      if (*p == '"') {
        const char* const end = ScanPlainString(p + 1);
        if (end == nullptr) return nullptr;
        us = step.time->ParseText({p + 1, static_cast<size_t>(end - p - 1)});
        p = end + 1;
      } else {
        int64_t epoch = 0;
        p = ReadJsonInteger(p, &epoch);
        if (p == nullptr || *p == '.' || *p == 'e' || *p == 'E') return nullptr;
        us = step.time->ParseInteger(epoch);
      }
      if (!us) return nullptr;
      if (step.column >= 0) rows->SetInt64(step.column, *us);
      return p;
    }
    case Op::kJson: {
      const char* const end = CheckedValue(p, 0);
      if (end != nullptr && step.column >= 0) rows->SetString(step.column, p, end - p);
      return end;
    }
    default:
      return nullptr;
  }
}

SpeculativeDecoder::Verdict SpeculativeDecoder::Follow(const Layout& layout, const char** at, RowColumns* rows) const {
  const char* p = *at;
  rows->BeginRow();
  for (const Step& step : layout.steps) {
    if (!Matches(step, p)) return Verdict::kOtherLayout;
    p += step.size;
    if (step.op == Op::kEnd) break;
    p = ReadValue(step, p, rows);
    if (p == nullptr) return Verdict::kSurprise;
  }
  for (const int column : layout.absent) rows->SetNull(column);
  *at = p - 1;
  return Verdict::kMatch;
}

const char* SpeculativeDecoder::Decode(const char* p, RowColumns* rows) {
  unknown_layout_ = true;
  for (size_t tried = 0; tried < layouts_.size(); ++tried) {
    const size_t index = current_ + tried < layouts_.size() ? current_ + tried : current_ + tried - layouts_.size();
    Layout& layout = layouts_[index];
    const char* at = p;
    switch (Follow(layout, &at, rows)) {
      case Verdict::kMatch:
        current_ = index;
        ++layout.hits;
        return at;
      case Verdict::kOtherLayout:
        break;
      case Verdict::kSurprise:
        unknown_layout_ = false;
        return nullptr;
    }
  }
  return nullptr;
}

bool SpeculativeDecoder::Prepare(const char* begin, const char* end) {
  constexpr size_t kSpareStops = 64;  // what FindStops may write beyond the last
  const auto size = static_cast<size_t>(end - begin);
  if (stops_.size() < size + kSpareStops) stops_.resize(size + kSpareStops);
  bool ascii = false;
  stop_count_ = static_cast<size_t>(FindStops(begin, end - begin, stops_.data(), &ascii));
  stop_ = 0;
  prepared_ = begin;
  return ascii;
}

int32_t SpeculativeDecoder::DecodeRun(const char** p, int64_t record_bytes_max, RowColumns* rows) {
  if (single_count_ > 0) {
    --single_count_;
    return 0;
  }
  if (current_ >= runs_.size() || !runs_[current_].usable()) return 0;
  const RecordRun& run = runs_[current_];
  while (stop_ < stop_count_ && prepared_ + stops_[stop_] < *p) ++stop_;  // over what was taken one by one
  const auto left = static_cast<int32_t>((stop_count_ - stop_) / static_cast<size_t>(run.stop_count()));
  const int32_t count = std::min(run_length_, left);
  if (count == 0) return 0;
  const int32_t done = run.Decode({prepared_, *p, stops_.data() + stop_, record_bytes_max}, count, rows);
  if (done < count || count == run_length_) PlanRun(done);
  if (done == 0) return 0;
  layouts_[current_].hits += done;
  stop_ += static_cast<size_t>(done) * static_cast<size_t>(run.stop_count());
  *p = prepared_ + stops_[stop_ - 1] + 1;
  return done;
}

/// The next run is about twice as long as what went well last; where nothing does, records are taken one by one for a
/// while, longer each time.
void SpeculativeDecoder::PlanRun(int32_t done) {
  run_length_ = std::clamp(done * 2, kRunLengthMin, kRunLengthMax);
  single_next_ = done > 0 ? 1 : std::min(single_next_ * 2, kSingleMax);
  single_count_ = done > 0 ? 0 : single_next_;
}

void SpeculativeDecoder::Learn(const char* line, const char* line_end) {
  if (!enabled_ || !unknown_layout_) return;
  if (layouts_.size() == kLayoutsMax && ++misses_ % kMissesPerRelearning != 0) return;
  std::fill(seen_.begin(), seen_.end(), false);
  Layout layout;
  const char* literal = line;
  const char* p = SkipJsonSpace(line, line_end);
  p = LearnObject(p, line_end, 0, &literal, &layout);
  if (p == nullptr) return;
  const std::string tail = std::string(literal, line_end) + "\n";
  if (!AddStep(tail.data(), tail.data() + tail.size(), Op::kEnd, -1, schema_, &layout)) return;
  for (const SourceField& field : schema_.fields) {
    const auto sets = [&](const Step& step) { return step.column == field.column; };
    if (field.column >= 0 && std::none_of(layout.steps.begin(), layout.steps.end(), sets))
      layout.absent.push_back(field.column);
  }
  Keep(std::move(layout));
}

/// `p` stands at the brace of an object that is known to be valid; the literal in progress goes on through it.
const char* SpeculativeDecoder::LearnObject(const char* p, const char* end, int node, const char** literal,
                                            Layout* layout) {
  for (p = SkipJsonSpace(p + 1, end); *p != '}';) {
    const char* const key_end = SkipValidString(p);
    const std::string_view key(p + 1, static_cast<size_t>(key_end - p - 2));
    if (key.find('\\') != std::string_view::npos) return nullptr;
    p = SkipJsonSpace(SkipJsonSpace(key_end, end) + 1, end);
    int child = tree_.Child(node, key);
    if (child >= 0 && std::exchange(seen_[static_cast<size_t>(child)], true))
      child = -1;  // a second one counts for nothing
    if (child >= 0 && !tree_.node(child).children.empty()) {
      if (*p != '{') return nullptr;
      p = LearnObject(p, end, child, literal, layout);
      if (p == nullptr) return nullptr;
    } else {
      const int field = child >= 0 ? tree_.node(child).fields.front() : -1;
      Op op = Op::kSkip;
      if (field >= 0) {
        switch (schema_.fields[static_cast<size_t>(field)].type) {
          case TypeId::kString:
            op = Op::kString;
            break;
          case TypeId::kInt64:
            op = Op::kInt64;
            break;
          case TypeId::kFloat64:
            op = Op::kFloat64;
            break;
          case TypeId::kBool:
            op = Op::kBool;
            break;
          case TypeId::kTimestamp:
            op = Op::kTimestamp;
            break;
          case TypeId::kJson:
            op = Op::kJson;
            break;
          case TypeId::kListFloat64:
            return nullptr;
        }
      }
      if (!AddStep(*literal, p, op, field, schema_, layout)) return nullptr;
      layout->steps.back().seen = *p == '"'                ? Layout::Seen::kText
                                  : *p == '{' || *p == '[' ? Layout::Seen::kContainer
                                                           : Layout::Seen::kScalar;
      p = SkipValidValue(p, end);
      *literal = p;
    }
    p = SkipJsonSpace(p, end);
    if (*p == ',') p = SkipJsonSpace(p + 1, end);
  }
  return p + 1;
}

bool SpeculativeDecoder::AddStep(const char* literal, const char* literal_end, Op op, int field,
                                 const SourceSchema& schema, Layout* layout) {
  const int64_t size = literal_end - literal;
  if (size > Layout::kLiteralBytesMax || size == 0 || layout->steps.size() >= kStepsMax) return false;
  Step step;
  std::memcpy(step.literal, literal, static_cast<size_t>(size));
  step.size = static_cast<int32_t>(size);
  const int64_t in_last = (size - 1) % 16 + 1;
  step.mask = (uint32_t{1} << in_last) - 1;
  step.op = op;
  if (field >= 0) {
    step.column = static_cast<int16_t>(schema.fields[static_cast<size_t>(field)].column);
    step.time = &schema.fields[static_cast<size_t>(field)].time;
  }
  layout->steps.push_back(step);
  return true;
}

void SpeculativeDecoder::Keep(Layout layout) {
  const auto same = [&](const Layout& other) {
    return std::equal(layout.steps.begin(), layout.steps.end(), other.steps.begin(), other.steps.end(),
                      [](const Step& a, const Step& b) {
                        return a.size == b.size && a.op == b.op && a.column == b.column &&
                               std::memcmp(a.literal, b.literal, static_cast<size_t>(a.size)) == 0;
                      });
  };
  if (std::any_of(layouts_.begin(), layouts_.end(), same)) return;
  if (layouts_.size() < kLayoutsMax) {
    runs_.emplace_back(layout);
    layouts_.push_back(std::move(layout));
    return;
  }
  const auto least = std::min_element(layouts_.begin(), layouts_.end(),
                                      [](const Layout& a, const Layout& b) { return a.hits < b.hits; });
  runs_[static_cast<size_t>(least - layouts_.begin())] = RecordRun(layout);
  *least = std::move(layout);
  for (Layout& kept : layouts_) kept.hits /= 2;
}

}  // namespace freshet
