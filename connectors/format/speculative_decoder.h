#pragma once

#include <cstdint>
#include <vector>

#include "connectors/format/json_field_tree.h"
#include "connectors/format/record_layout.h"
#include "connectors/format/record_run.h"
#include "connectors/format/row_columns.h"
#include "connectors/format/source_schema.h"

namespace freshet {

/// Decodes JSON records that look like earlier ones. Records of one stream mostly have the same keys in the same order,
/// so what stands between the values is the same bytes again. A *layout* is that list of literals, learnt from a record
/// that the DOM accepted; a record is decoded by comparing each literal with wide loads and reading the value after it.
/// Objects on the way to a nested path are part of the literals; other objects and arrays are values that are checked.
/// Runs of records of one layout are decoded field by field (RecordRun), others one by one.
///
/// Why it agrees with DomRecordDecoder: equal literals with a valid scalar, array or object at each place make a valid
/// record with the same keys at the same places. Whatever needs a closer look is given up, never guessed: escapes and
/// control characters in strings, numbers of more than 18 digits or far exponents, values of another type, deep
/// nesting. UTF-8 must have been checked. At most four layouts are kept; the least used one makes room. One thread.
///
/// Source: after Mison (Li et al., VLDB 2017) and Sparser (Palkar et al., VLDB 2018), with layouts instead of indexes.
class SpeculativeDecoder {
 public:
  /// Keeps pointers to both.
  SpeculativeDecoder(const SourceSchema* schema, const JsonFieldTree* tree);
  /// Makes whole lines ready for DecodeRun; the last byte is a line feed, with 64 readable bytes behind it. Returns
  /// whether all bytes are ASCII.
  bool Prepare(const char* begin, const char* end);
  /// Tries the records from `p` on, as many as look alike, none of more than `record_bytes_max`. Returns how many there
  /// were, with their rows set but not committed, and moves `*p` behind the last one's line feed. 0: try Decode.
  /// REQUIRES: within what was prepared, from front to back.
  int32_t DecodeRun(const char** p, int64_t record_bytes_max, RowColumns* rows);
  /// Tries the record at `p`. Returns its line feed, with the row set but not committed, or null: ask the DOM.
  /// REQUIRES: a line feed at or after `p`, and 64 readable bytes behind it.
  const char* Decode(const char* p, RowColumns* rows);
  /// To be told of each record that Decode gave up and the DOM made a row of: [line, line_end) without its line feed.
  void Learn(const char* line, const char* line_end);
  int layout_count() const { return static_cast<int>(layouts_.size()); }

 private:
  using Layout = RecordLayout;
  using Step = RecordLayout::Step;
  using Op = RecordLayout::Op;
  static constexpr int32_t kRunLengthMin = 4;
  static constexpr int32_t kRunLengthMax = 128;
  static constexpr int32_t kSingleMax = 64;
  enum class Verdict : uint8_t { kMatch, kOtherLayout, kSurprise };

  static bool Matches(const Step& step, const char* p);
  Verdict Follow(const Layout& layout, const char** p, RowColumns* rows) const;
  static const char* ReadValue(const Step& step, const char* p, RowColumns* rows);
  const char* LearnObject(const char* p, const char* end, int node, const char** literal, Layout* layout);
  static bool AddStep(const char* literal, const char* literal_end, Op op, int field, const SourceSchema& schema,
                      Layout* layout);
  void PlanRun(int32_t done);
  void Keep(Layout layout);

  const SourceSchema& schema_;
  const JsonFieldTree& tree_;
  bool enabled_ = true;
  bool unknown_layout_ = false;  ///< the last record was given up because no layout fitted
  std::vector<Layout> layouts_;
  std::vector<RecordRun> runs_;  ///< of the layouts
  size_t current_ = 0;
  const char* prepared_ = nullptr;
  std::vector<uint32_t> stops_;
  size_t stop_ = 0;
  size_t stop_count_ = 0;
  int32_t run_length_ = kRunLengthMin;  ///< what the next run is tried with
  int32_t single_count_ = 0;            ///< records left to be taken one by one
  int32_t single_next_ = 1;
  int64_t misses_ = 0;
  std::vector<char> seen_;
};

}  // namespace freshet
