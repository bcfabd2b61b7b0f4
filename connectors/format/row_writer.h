#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"
#include "engine/batch/batch.h"

namespace freshet {

/// How rows are written as text.
enum class RowFormat : uint8_t { kNdjson, kCsv };

/// Appends a JSON string with its quotes. Control characters are escaped; bytes that are not UTF-8 become U+FFFD,
/// because JSON has no way to keep them.
void AppendJsonString(std::string_view text, std::string* out);
/// Appends the shortest decimal that reads back to the same double; NaN and infinities as `null` (JSON has none).
void AppendJsonNumber(double value, std::string* out);
/// Appends RFC 3339 in UTC, without quotes, as FormatTime does (0, 3 or 6 fraction digits).
void AppendTimestamp(EventTime time, std::string* out);
/// One cell as plain text, for people and for templates: null gives nothing, lists and json their JSON text.
void AppendCellText(const Column& column, int32_t row, std::string* out);
/// One cell as a JSON value.
void AppendCellJson(const Column& column, int32_t row, std::string* out);

/// Writes rows of one schema as ndjson or csv (RFC 4180, "\n" line ends). In csv a null is an empty field and an empty
/// string is `""`, so that the two stay apart. Immutable after construction.
class RowWriter {
 public:
  RowWriter(SchemaRef schema, RowFormat format);
  /// The csv header line; nothing for ndjson.
  void AppendHeader(std::string* out) const;
  /// One row with its newline. REQUIRES: `batch` has this writer's schema; `row` is physical.
  void AppendRow(const Batch& batch, int32_t row, std::string* out) const;
  /// One row as a JSON object without a newline, whatever the format.
  void AppendObject(const Batch& batch, int32_t row, std::string* out) const;
  const SchemaRef& schema() const { return schema_; }

 private:
  void AppendCsv(const Batch& batch, int32_t row, std::string* out) const;
  SchemaRef schema_;
  RowFormat format_;
  std::vector<std::string> json_names_;  ///< `"name":` per column, with the comma before it
};

/// Writers of one format for the schemas that a sink with several inputs meets. One thread.
class RowWriterSet {
 public:
  explicit RowWriterSet(RowFormat format) : format_(format) {}
  const RowWriter& For(const SchemaRef& schema);

 private:
  RowFormat format_;
  std::vector<std::unique_ptr<RowWriter>> writers_;
};

/// Order-sensitive hash over all columns of all rows: equal rows in equal order give equal hashes, however they were
/// cut into batches. A cell's hash depends on its value, its type's class (null, bool, integer, float, text, list) and
/// its column's index: XXH3-64 for text and lists, SplitMix64 for the others; all NaNs are one value, -0.0 and 0.0 are
/// two. Rows are combined as h = h * K + row. The blackhole and the file sink share it. One thread.
class RowHash {
 public:
  /// REQUIRES: no selection.
  void Add(const Batch& batch);
  uint64_t value() const { return hash_; }
  int64_t row_count() const { return row_count_; }
  void Encode(ByteSink* sink) const;
  void Decode(ByteSource* source);
  /// 16 hexadecimal digits.
  std::string ToString() const;

 private:
  uint64_t hash_ = 0;
  int64_t row_count_ = 0;
  std::vector<uint64_t> scratch_;
};

}  // namespace freshet
