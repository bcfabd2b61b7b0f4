#include "connectors/format/csv_decoder.h"

#include <fast_float/fast_float.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "connectors/format/csv_scan.h"
#include "connectors/format/dom_record_decoder.h"
#include "connectors/format/json_scan.h"
#include "connectors/format/record_splitter.h"
#include "connectors/format/row_columns.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr int64_t kRecordBytesGuess = 128;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

void Unquote(const CsvField& field, std::string* out) {
  out->clear();
  for (const char* p = field.begin; p < field.end; ++p) {
    out->push_back(*p);
    if (*p == '"') ++p;  // the second of a pair
  }
}

std::optional<double> ParseNumber(std::string_view text) {
  const std::string_view digits = !text.empty() && (text.front() == '-' || text.front() == '+') ? text.substr(1) : text;
  if (digits.empty() || (digits.front() != '.' && (digits.front() < '0' || digits.front() > '9'))) return std::nullopt;
  if (text.front() == '+') text = digits;
  double value = 0;
  const auto r = fast_float::from_chars(text.data(), text.data() + text.size(), value);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t value = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
  if (r.ec == std::errc() && r.ptr == text.data() + text.size()) return value;
  const std::optional<double> number = ParseNumber(text);
  if (!number || !(*number >= -0x1p63 && *number < 0x1p63) || *number != std::floor(*number)) return std::nullopt;
  // Digits beyond a double's precision must not be rounded into range.
  return r.ec == std::errc::result_out_of_range && r.ptr == text.data() + text.size()
             ? std::nullopt
             : std::optional(static_cast<int64_t>(*number));
}

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b;
         });
}

std::optional<bool> ParseBool(std::string_view text) {
  for (const std::string_view yes : {"true", "1", "yes"})
    if (EqualsIgnoringCase(text, yes)) return true;
  for (const std::string_view no : {"false", "0", "no"})
    if (EqualsIgnoringCase(text, no)) return false;
  return std::nullopt;
}

/// "[1, 2.5]"
bool ParseList(std::string_view text, std::vector<double>* out) {
  out->clear();
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return false;
  text = Trim(text.substr(1, text.size() - 2));
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::optional<double> value = ParseNumber(Trim(text.substr(0, comma)));
    if (!value) return false;
    out->push_back(*value);
    if (comma == text.size()) return true;
    text = text.substr(comma + 1);
    if (text.empty()) return false;
  }
  return true;
}

class CsvDecoder final : public Decoder {
 public:
  explicit CsvDecoder(CsvOptions options) : options_(std::move(options)) {}

  void Decode(const RawChunk& chunk, DecodedBlock* block) override {
    block_ = block;
    begin_ = chunk.size > 0 ? chunk.bytes.as<const char>() : nullptr;
    const char* const end = begin_ + chunk.size;
    const int64_t rows_expected = chunk.row_count_hint > 0 ? chunk.row_count_hint : chunk.size / kRecordBytesGuess;
    rows_.Start(*options_.schema->columns, static_cast<int32_t>(std::min<int64_t>(rows_expected + 1, 1 << 16)));
    MapHeader(options_.headers != nullptr ? chunk.numbers[0] : 0);
    utf8_ = IsUtf8(begin_, chunk.size);
    const char* p = begin_;
    const bool starts_file = (chunk.numbers[1] & kChunkStartsFile) != 0;
    if (starts_file && std::string_view(p, static_cast<size_t>(end - p)).starts_with(kByteOrderMark))
      p += kByteOrderMark.size();
    bool header_due = starts_file && options_.headers != nullptr;
    while (p < end) {
      p = DecodeRecord(p, end, header_due);
      header_due = false;
    }
    block->row_count = rows_.row_count();
    block->columns = rows_.Finish();
    if (!records_differ_) block->record_offsets.clear();
    block_ = nullptr;
  }

 private:
  /// Which field of a record each declared column is; -1: not in this file.
  void MapHeader(int64_t id) {
    records_differ_ = false;
    if (mapped_ && id == mapped_id_) return;
    mapped_ = true;
    mapped_id_ = id;
    const auto& fields = options_.schema->fields;
    positions_.assign(fields.size(), -1);
    if (options_.headers == nullptr) {
      field_count_ = fields.size();
      for (size_t i = 0; i < fields.size(); ++i) positions_[i] = static_cast<int>(i);
      return;
    }
    const std::vector<std::string> names = options_.headers->Get(id);
    field_count_ = names.size();
    for (size_t i = 0; i < fields.size(); ++i) {
      const auto found = std::find(names.begin(), names.end(), fields[i].path.front());
      if (found != names.end()) positions_[i] = static_cast<int>(found - names.begin());
    }
  }

  /// Returns where the next record begins.
  const char* DecodeRecord(const char* p, const char* end, bool is_header) {
    cells_.clear();
    const CsvRecordEnd record = ScanCsvRecord(p, end, options_.delimiter, &cells_);
    const char* next = record.next;
    const char* record_end = next > p && record.whole ? next - 1 : next;
    const bool too_long = record_end - p > options_.record_bytes_max + (record.whole ? 0 : 1);
    if (record.open_quote && !too_long) {
      if (record_end[-1] == '\n') --record_end;
      GiveUp(p, record_end);
    } else if (too_long) {
      const auto* line_feed = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
      record_end = line_feed != nullptr ? line_feed : end;
      next = line_feed != nullptr ? line_feed + 1 : end;
      GiveUp(p, record_end);
    } else if (is_header || record_end == p || (record_end == p + 1 && *p == '\r')) {
      ++block_->skipped;
      records_differ_ = true;
    } else {
      rows_.BeginRow();
      if (ReadRow(p, record_end, record))
        AddRow(p, record_end);
      else
        AddDead(p, record_end);
    }
    ++block_->record_count;
    block_->line_count += CountLines(p, next);
    return next;
  }

  void GiveUp(const char* p, const char* line_end) {
    if (line_end - p > options_.record_bytes_max) {
      DeadRecord dead = LineTooLong(line_end - p, options_.record_bytes_max, {p, static_cast<size_t>(line_end - p)});
      reason_ = dead.reason;
    } else {
      reason_ = "torn_csv: a quote is opened and not closed";
    }
    AddDead(p, line_end);
  }

  bool ReadRow(const char* p, const char* end, const CsvRecordEnd& record) {
    if (!utf8_ && !IsUtf8(p, end - p)) {
      reason_ = "invalid_utf8: the record is not UTF-8 text";
      return false;
    }
    if (record.text_after_quote) {
      reason_ = "torn_csv: text follows a closing quote";
      return false;
    }
    if (cells_.size() != field_count_) {
      reason_ = (cells_.size() < field_count_ ? "missing: expected " : "extra: expected ") +
                std::to_string(field_count_) + " fields, found " + std::to_string(cells_.size());
      return false;
    }
    const auto& fields = options_.schema->fields;
    for (size_t i = 0; i < fields.size(); ++i)
      if (!ReadCell(fields[i], positions_[i])) return false;
    return true;
  }

  bool ReadCell(const SourceField& field, int position) {
    const int c = field.column;
    const CsvField* cell = position >= 0 ? &cells_[static_cast<size_t>(position)] : nullptr;
    const bool keeps_empty = field.type == TypeId::kString && cell != nullptr && cell->quoted;
    if (cell == nullptr || (cell->begin == cell->end && !keeps_empty)) {
      if (c >= 0) rows_.SetNull(c);
      return true;
    }
    std::string_view text(cell->begin, static_cast<size_t>(cell->end - cell->begin));
    if (cell->has_doubled_quotes) {
      Unquote(*cell, &unquoted_);
      text = unquoted_;
    }
    if (field.type != TypeId::kString) text = Trim(text);
    if (SetCell(field, c, text)) return true;
    reason_ = "wrong_type: " + field.name + ": expected " + TypeName(field.type) + ", found \"" +
              std::string(Utf8Prefix(text, 40)) + (text.size() > 40 ? "…\"" : "\"");
    return false;
  }

  bool SetCell(const SourceField& field, int c, std::string_view text) {
    switch (field.type) {
      case TypeId::kJson:
        if (!IsJson(text)) return false;
        [[fallthrough]];
      case TypeId::kString:
        if (c >= 0) rows_.SetString(c, text.data(), static_cast<int64_t>(text.size()));
        return true;
      case TypeId::kInt64:
        return SetInteger(c, ParseInteger(text));
      case TypeId::kTimestamp:
        return SetInteger(c, field.time.ParseText(text));
      case TypeId::kFloat64: {
        const std::optional<double> value = ParseNumber(text);
        if (value && c >= 0) rows_.SetFloat64(c, *value);
        return value.has_value();
      }
      case TypeId::kBool: {
        const std::optional<bool> value = ParseBool(text);
        if (value && c >= 0) rows_.SetBool(c, *value);
        return value.has_value();
      }
      case TypeId::kListFloat64:
        if (!ParseList(text, &list_)) return false;
        if (c >= 0) rows_.SetList(c, list_);
        return true;
    }
    return false;
  }

  bool SetInteger(int c, std::optional<int64_t> value) {
    if (value && c >= 0) rows_.SetInt64(c, *value);
    return value.has_value();
  }

  void AddRow(const char* p, const char* end) {
    rows_.CommitRow();
    block_->record_offsets.push_back(static_cast<int32_t>(block_->record_count));
    block_->row_begins.push_back(static_cast<int32_t>(p - begin_));
    block_->row_ends.push_back(static_cast<int32_t>(end - begin_));
    block_->row_lines.push_back(static_cast<int32_t>(block_->line_count));
  }

  void AddDead(const char* p, const char* end) {
    records_differ_ = true;
    const int64_t kept = std::min({static_cast<int64_t>(end - p), options_.record_bytes_max, kRecordBytesMaxDefault});
    block_->dead.push_back(
        {block_->record_count, block_->line_count, reason_, std::string(p, static_cast<size_t>(kept))});
  }

  const CsvOptions options_;
  RowColumns rows_;
  std::vector<CsvField> cells_;
  std::vector<int> positions_;
  size_t field_count_ = 0;
  bool mapped_ = false;
  int64_t mapped_id_ = 0;
  bool utf8_ = true;
  bool records_differ_ = false;  ///< row i is not record i
  std::string reason_;
  std::string unquoted_;
  std::vector<double> list_;
  DecodedBlock* block_ = nullptr;
  const char* begin_ = nullptr;
};

}  // namespace

int64_t CsvHeaders::Add(std::vector<std::string> names) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find(headers_.begin(), headers_.end(), names);
  const int64_t id = found - headers_.begin() + 1;
  if (found == headers_.end()) headers_.push_back(std::move(names));
  return id;
}

std::vector<std::string> CsvHeaders::Get(int64_t id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (id < 1 || id > static_cast<int64_t>(headers_.size())) return {};
  return headers_[static_cast<size_t>(id - 1)];
}

std::unique_ptr<Decoder> MakeCsvDecoder(CsvOptions options) { return std::make_unique<CsvDecoder>(std::move(options)); }

std::vector<std::string> ParseCsvHeader(std::string_view record, char delimiter) {
  if (record.starts_with(kByteOrderMark)) record.remove_prefix(kByteOrderMark.size());
  std::vector<CsvField> cells;
  ScanCsvRecord(record.data(), record.data() + record.size(), delimiter, &cells);
  std::vector<std::string> names;
  std::string name;
  for (const CsvField& cell : cells) {
    name.assign(cell.begin, cell.end);
    if (cell.has_doubled_quotes) Unquote(cell, &name);
    names.emplace_back(Trim(name));
  }
  return names;
}

}  // namespace freshet
