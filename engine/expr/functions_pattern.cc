#include <re2/re2.h>

#include "engine/expr/lexer.h"
#include "engine/expr/row_kernel.h"

namespace freshet::expr_internal {
namespace {

using View = std::string_view;

/// A LIKE pattern: the four usual shapes are plain searches.
struct LikePattern {
  enum class Shape : uint8_t { kGeneral, kExact, kPrefix, kSuffix, kContains };
  Shape shape = Shape::kGeneral;
  std::string text;
};

/// % any text, _ one character, \ takes the next character literally. Goes back to the last % only: linear in practice.
bool LikeGeneral(View s, View p) {
  size_t i = 0, j = 0, retry_i = 0, retry_j = View::npos;
  while (i < s.size()) {
    if (j < p.size() && p[j] == '%') {
      retry_j = ++j;
      retry_i = i;
    } else if (j < p.size() && p[j] == '_') {
      ++j;
      ++i;
      while (i < s.size() && (static_cast<unsigned char>(s[i]) & 0xc0) == 0x80) ++i;
    } else if (j < p.size() && s[i] == (p[j] == '\\' && j + 1 < p.size() ? p[j + 1] : p[j])) {
      j += p[j] == '\\' && j + 1 < p.size() ? 2 : 1;
      ++i;
    } else if (retry_j != View::npos) {
      i = ++retry_i;
      j = retry_j;
    } else {
      return false;
    }
  }
  while (j < p.size() && p[j] == '%') ++j;
  return j == p.size();
}

std::shared_ptr<const void> PrepareLike(std::span<const EvalRef> args, PrepareProblem*) {
  const Value* value = args[1]->constant();
  if (value == nullptr || value->null) return nullptr;
  auto like = std::make_shared<LikePattern>();
  View p = value->text;
  like->text = value->text;
  if (p.find_first_of("_\\") != View::npos) return like;
  const bool open_start = p.starts_with('%');
  const bool open_end = p.size() > 1 && p.ends_with('%');
  if (open_start) p.remove_prefix(1);
  if (open_end) p.remove_suffix(1);
  if (p.find('%') != View::npos) return like;
  using Shape = LikePattern::Shape;
  like->shape = open_start && open_end ? Shape::kContains
                : open_start           ? Shape::kSuffix
                : open_end             ? Shape::kPrefix
                                       : Shape::kExact;
  like->text = std::string(p);
  return like;
}

Outcome Like(RowState& state, bool& out, View s, View pattern) {
  const auto* like = static_cast<const LikePattern*>(state.prepared);
  using Shape = LikePattern::Shape;
  switch (like == nullptr ? Shape::kGeneral : like->shape) {
    case Shape::kGeneral:
      out = LikeGeneral(s, pattern);
      break;
    case Shape::kExact:
      out = s == like->text;
      break;
    case Shape::kPrefix:
      out = s.starts_with(like->text);
      break;
    case Shape::kSuffix:
      out = s.ends_with(like->text);
      break;
    case Shape::kContains:
      out = s.find(like->text) != View::npos;
      break;
  }
  return Outcome::kValue;
}

Outcome Ilike(RowState&, bool& out, View s, View pattern) {
  return out = LikeGeneral(Lower(s), Lower(pattern)), Outcome::kValue;
}

RE2::Options QuietOptions() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

re2::StringPiece Piece(View s) { return {s.data(), s.size()}; }

std::shared_ptr<const void> PreparePattern(std::span<const EvalRef> args, PrepareProblem* problem) {
  const Value* value = args[1]->constant();
  if (value == nullptr || value->null) return nullptr;
  auto regexp = std::make_shared<RE2>(value->text, QuietOptions());
  if (!regexp->ok()) {
    *problem = {1, "FR3014", "this is not a regular expression: " + regexp->error(), "the syntax is RE2's"};
    return nullptr;
  }
  std::string error;
  if (args.size() > 2 && args[2]->kind() == Kind::kString && args[2]->constant() != nullptr &&
      !args[2]->constant()->null && !regexp->CheckRewriteString(args[2]->constant()->text, &error))
    *problem = {2, "FR3014", "this is not a replacement: " + error,
                "\\1 stands for the first group, \\0 for the whole match"};
  if (args.size() > 2 && args[2]->kind() == Kind::kInt64 && args[2]->constant() != nullptr &&
      !args[2]->constant()->null &&
      (args[2]->constant()->integer < 0 || args[2]->constant()->integer > regexp->NumberOfCapturingGroups()))
    *problem = {2, "FR3014", "the pattern has " + std::to_string(regexp->NumberOfCapturingGroups()) + " groups",
                "group 0 is the whole match"};
  return regexp;
}

/// The prepared pattern, or one compiled for this row's text and kept until another comes; null if it is none.
const RE2* PatternOf(const RowState& state, View pattern) {
  if (state.prepared != nullptr) return static_cast<const RE2*>(state.prepared);
  thread_local std::unique_ptr<RE2> last;
  if (last == nullptr || last->pattern() != pattern) last = std::make_unique<RE2>(Piece(pattern), QuietOptions());
  return last->ok() ? last.get() : nullptr;
}

Outcome RegexpMatches(RowState& state, bool& out, View s, View pattern) {
  const RE2* regexp = PatternOf(state, pattern);
  if (regexp == nullptr) return Outcome::kFailed;
  out = RE2::PartialMatch(Piece(s), *regexp);
  return Outcome::kValue;
}

Outcome RegexpExtractGroup(RowState& state, View& out, View s, View pattern, int64_t group) {
  constexpr int kGroupsMax = 32;
  const RE2* regexp = PatternOf(state, pattern);
  if (regexp == nullptr || group < 0 || group > regexp->NumberOfCapturingGroups() || group >= kGroupsMax)
    return Outcome::kFailed;
  re2::StringPiece groups[kGroupsMax];
  if (!regexp->Match(Piece(s), 0, s.size(), RE2::UNANCHORED, groups, static_cast<int>(group) + 1))
    return Outcome::kNull;
  const re2::StringPiece& found = groups[group];
  if (found.data() == nullptr) return Outcome::kNull;
  out = {found.data(), found.size()};
  return Outcome::kValue;
}
Outcome RegexpExtract(RowState& state, View& out, View s, View pattern) {
  return RegexpExtractGroup(state, out, s, pattern, 0);
}

Outcome ReplaceWith(RowState& state, View& out, View s, View pattern, View to, bool all) {
  const RE2* regexp = PatternOf(state, pattern);
  std::string error;
  if (regexp == nullptr || !regexp->CheckRewriteString(Piece(to), &error)) return Outcome::kFailed;
  std::string text(s);
  if (all)
    RE2::GlobalReplace(&text, *regexp, Piece(to));
  else
    RE2::Replace(&text, *regexp, Piece(to));
  out = state.out->Keep(text);
  return Outcome::kValue;
}
Outcome RegexpReplace(RowState& state, View& out, View s, View pattern, View to) {
  return ReplaceWith(state, out, s, pattern, to, false);
}
Outcome RegexpReplaceFlags(RowState& state, View& out, View s, View pattern, View to, View flags) {
  return ReplaceWith(state, out, s, pattern, to, flags.find('g') != View::npos);
}

constexpr Function kFunctions[] = {
    {"like", "ss", Kind::kBool, &RowKernel<Like>::Run, &PrepareLike, "string like pattern -> bool",
     "% is any text, _ one character, \\ takes the next literally"},
    {"ilike", "ss", Kind::kBool, &RowKernel<Ilike>::Run, nullptr, "string ilike pattern -> bool",
     "like, without regard to the case of ASCII letters"},
    {"regexp_matches", "ss", Kind::kBool, &RowKernel<RegexpMatches>::Run, &PreparePattern,
     "regexp_matches(string, pattern) -> bool", "whether the pattern (RE2) matches anywhere"},
    {"regexp_extract", "ss", Kind::kString, &RowKernel<RegexpExtract>::Run, &PreparePattern,
     "regexp_extract(string, pattern) -> string", "the first match, null if there is none"},
    {"regexp_extract", "ssi", Kind::kString, &RowKernel<RegexpExtractGroup>::Run, &PreparePattern,
     "regexp_extract(string, pattern, group) -> string",
     "a group of the first match (0: all of it), null if there is none"},
    {"regexp_replace", "sss", Kind::kString, &RowKernel<RegexpReplace>::Run, &PreparePattern,
     "regexp_replace(string, pattern, to) -> string", "the first match replaced; \\1 in `to` is the first group"},
    {"regexp_replace", "ssss", Kind::kString, &RowKernel<RegexpReplaceFlags>::Run, &PreparePattern,
     "regexp_replace(string, pattern, to, 'g') -> string", "every match replaced"},
};

}  // namespace

std::span<const Function> PatternFunctions() { return kFunctions; }

}  // namespace freshet::expr_internal
