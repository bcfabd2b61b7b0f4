#include "connectors/format/row_writer.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include "engine/base/rng.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace freshet {
namespace {

/// Length of the valid UTF-8 sequence at `p`, 0 if there is none (RFC 3629: no surrogates, no overlong forms).
int Utf8Length(const unsigned char* p, const unsigned char* end) {
  const auto tail = [&](int i) { return p + i < end && (p[i] & 0xc0) == 0x80; };
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xc2 && p[0] <= 0xdf) return tail(1) ? 2 : 0;
  if (p[0] >= 0xe0 && p[0] <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] > 0x9f) return 0;
    return 3;
  }
  if (p[0] >= 0xf0 && p[0] <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return 4;
  }
  return 0;
}

constexpr char kHexDigits[] = "0123456789abcdef";

void AppendEscape(unsigned char c, std::string* out) {
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      *out += "\\u00";
      *out += kHexDigits[c >> 4];
      *out += kHexDigits[c & 15];
  }
}

void AppendInt64(int64_t value, std::string* out) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out->append(buffer, end.ptr);
}

void AppendDouble(double value, std::string* out) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out->append(buffer, end.ptr);
}

void AppendTwoDigits(int64_t value, std::string* out) {
  *out += static_cast<char>('0' + value / 10);
  *out += static_cast<char>('0' + value % 10);
}

void AppendPadded(int64_t value, int width, std::string* out) {
  char digits[20];
  for (int i = width - 1; i >= 0; --i, value /= 10) digits[i] = static_cast<char>('0' + value % 10);
  out->append(digits, static_cast<size_t>(width));
}

void AppendListJson(std::span<const double> values, std::string* out) {
  *out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) *out += ',';
    AppendJsonNumber(values[i], out);
  }
  *out += ']';
}

void AppendCsvText(std::string_view text, std::string* out) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out->append(text);
    return;
  }
  *out += '"';
  for (char c : text) {
    if (c == '"') *out += '"';
    *out += c;
  }
  *out += '"';
}

constexpr uint64_t kRowMultiplier = 0x9fb21c651e98df25ULL;   // odd
constexpr uint64_t kCellMultiplier = 0xa0761d6478bd642fULL;  // odd

uint64_t HashWord(uint64_t value, uint64_t seed) { return Mix64(value ^ seed); }

constexpr uint64_t kCanonicalNan = 0x7ff8000000000000ULL;

/// Folds one column into the rows' hashes.
void HashColumn(const Column& column, int index, uint64_t* rows) {
  const int32_t n = column.length();
  // The class of a type, not the type: int64 and timestamp, string and json hash alike.
  const auto seed_of = [&](uint64_t type_class) { return Mix64(static_cast<uint64_t>(index) * 8 + type_class); };
  const uint64_t null_hash = seed_of(0);
  const auto fold = [&](auto&& cell) {
    if (column.may_have_nulls()) {
      for (int32_t i = 0; i < n; ++i) rows[i] = rows[i] * kCellMultiplier + (column.IsNull(i) ? null_hash : cell(i));
    } else {
      for (int32_t i = 0; i < n; ++i) rows[i] = rows[i] * kCellMultiplier + cell(i);
    }
  };
  switch (column.type()) {
    case TypeId::kBool:
      fold([&, seed = seed_of(1)](int32_t i) { return HashWord(column.BoolAt(i) ? 1 : 0, seed); });
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      fold([v = column.int64s(), seed = seed_of(2)](int32_t i) { return HashWord(static_cast<uint64_t>(v[i]), seed); });
      break;
    case TypeId::kFloat64:
      fold([v = column.float64s(), seed = seed_of(3)](int32_t i) {
        return HashWord(std::isnan(v[i]) ? kCanonicalNan : std::bit_cast<uint64_t>(v[i]), seed);
      });
      break;
    case TypeId::kString:
    case TypeId::kJson:
      fold([&, seed = seed_of(4)](int32_t i) {
        const std::string_view s = column.StringAt(i);
        return XXH3_64bits_withSeed(s.data(), s.size(), seed);
      });
      break;
    case TypeId::kListFloat64:
      fold([&, seed = seed_of(5)](int32_t i) {
        uint64_t h = seed;
        for (double v : column.ListAt(i)) h = HashWord(std::isnan(v) ? kCanonicalNan : std::bit_cast<uint64_t>(v), h);
        return h;
      });
      break;
  }
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char* end = p + text.size();
  const unsigned char* clean = p;
  const auto flush = [&] { out->append(reinterpret_cast<const char*>(clean), static_cast<size_t>(p - clean)); };
  while (p < end) {
    if (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\') {
      ++p;
      continue;
    }
    const int length = Utf8Length(p, end);
    if (length > 1 || *p == 0x7f) {
      p += length;
      continue;
    }
    flush();
    if (length == 0)
      *out += "\xef\xbf\xbd";
    else
      AppendEscape(*p, out);
    clean = ++p;
  }
  flush();
  *out += '"';
}

void AppendJsonNumber(double value, std::string* out) {
  if (std::isfinite(value))
    AppendDouble(value, out);
  else
    *out += "null";
}

void AppendTimestamp(EventTime time, std::string* out) {
  constexpr int64_t kDayUs = int64_t{86400} * 1000000;
  int64_t days = time.us / kDayUs;
  int64_t rest = time.us % kDayUs;
  if (rest < 0) {
    rest += kDayUs;
    --days;
  }
  // Civil date from days by shifting the year to begin in March, so that the leap day comes last.
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  if (year >= 0 && year <= 9999)
    AppendPadded(year, 4, out);
  else
    AppendInt64(year, out);
  *out += '-';
  AppendTwoDigits(month, out);
  *out += '-';
  AppendTwoDigits(day, out);
  *out += 'T';
  AppendTwoDigits(rest / 3600000000, out);
  *out += ':';
  AppendTwoDigits(rest / 60000000 % 60, out);
  *out += ':';
  AppendTwoDigits(rest / 1000000 % 60, out);
  if (const int64_t fraction = rest % 1000000; fraction != 0) {
    *out += '.';
    if (fraction % 1000 == 0)
      AppendPadded(fraction / 1000, 3, out);
    else
      AppendPadded(fraction, 6, out);
  }
  *out += 'Z';
}

void AppendCellJson(const Column& column, int32_t row, std::string* out) {
  if (column.IsNull(row)) {
    *out += "null";
    return;
  }
  switch (column.type()) {
    case TypeId::kBool:
      *out += column.BoolAt(row) ? "true" : "false";
      return;
    case TypeId::kInt64:
      return AppendInt64(column.int64s()[row], out);
    case TypeId::kFloat64:
      return AppendJsonNumber(column.float64s()[row], out);
    case TypeId::kString:
      return AppendJsonString(column.StringAt(row), out);
    case TypeId::kTimestamp:
      *out += '"';
      AppendTimestamp({column.int64s()[row]}, out);
      *out += '"';
      return;
    case TypeId::kListFloat64:
      return AppendListJson(column.ListAt(row), out);
    case TypeId::kJson:
      out->append(column.StringAt(row));
      return;
  }
}

void AppendCellText(const Column& column, int32_t row, std::string* out) {
  if (column.IsNull(row)) return;
  switch (column.type()) {
    case TypeId::kString:
      out->append(column.StringAt(row));
      return;
    case TypeId::kTimestamp:
      return AppendTimestamp({column.int64s()[row]}, out);
    case TypeId::kFloat64:
      return AppendDouble(column.float64s()[row], out);
    default:
      return AppendCellJson(column, row, out);
  }
}

RowWriter::RowWriter(SchemaRef schema, RowFormat format) : schema_(std::move(schema)), format_(format) {
  for (const Field& field : schema_->fields()) {
    std::string name = json_names_.empty() ? "{" : ",";
    AppendJsonString(field.name, &name);
    name += ':';
    json_names_.push_back(std::move(name));
  }
}

void RowWriter::AppendHeader(std::string* out) const {
  if (format_ != RowFormat::kCsv) return;
  for (int i = 0; i < schema_->size(); ++i) {
    if (i > 0) *out += ',';
    AppendCsvText(schema_->field(i).name, out);
  }
  *out += '\n';
}

void RowWriter::AppendObject(const Batch& batch, int32_t row, std::string* out) const {
  if (json_names_.empty()) *out += '{';
  for (size_t i = 0; i < json_names_.size(); ++i) {
    *out += json_names_[i];
    AppendCellJson(batch.column(static_cast<int>(i)), row, out);
  }
  *out += '}';
}

void RowWriter::AppendRow(const Batch& batch, int32_t row, std::string* out) const {
  if (format_ == RowFormat::kCsv)
    AppendCsv(batch, row, out);
  else
    AppendObject(batch, row, out);
  *out += '\n';
}

void RowWriter::AppendCsv(const Batch& batch, int32_t row, std::string* out) const {
  for (int i = 0; i < schema_->size(); ++i) {
    if (i > 0) *out += ',';
    const Column& column = batch.column(i);
    if (column.IsNull(row)) continue;
    switch (column.type()) {
      case TypeId::kString:
      case TypeId::kJson:
        AppendCsvText(column.StringAt(row), out);
        break;
      case TypeId::kListFloat64: {
        std::string text;
        AppendListJson(column.ListAt(row), &text);
        AppendCsvText(text, out);
        break;
      }
      default:
        AppendCellText(column, row, out);
    }
  }
}

const RowWriter& RowWriterSet::For(const SchemaRef& schema) {
  for (const auto& writer : writers_)
    if (writer->schema() == schema) return *writer;
  for (const auto& writer : writers_)
    if (*writer->schema() == *schema) return *writer;
  writers_.push_back(std::make_unique<RowWriter>(schema, format_));
  return *writers_.back();
}

void RowHash::Add(const Batch& batch) {
  const auto n = static_cast<size_t>(batch.row_count());
  scratch_.assign(n, 0);
  for (int c = 0; c < batch.column_count(); ++c) HashColumn(batch.column(c), c, scratch_.data());
  for (size_t i = 0; i < n; ++i) hash_ = (hash_ ^ (hash_ >> 29)) * kRowMultiplier + scratch_[i];
  row_count_ += static_cast<int64_t>(n);
}

void RowHash::Encode(ByteSink* sink) const {
  sink->PutU64(hash_);
  sink->PutI64(row_count_);
}

void RowHash::Decode(ByteSource* source) {
  hash_ = source->GetU64();
  row_count_ = source->GetI64();
}

std::string RowHash::ToString() const {
  std::string text(16, '0');
  for (int i = 0; i < 16; ++i) text[static_cast<size_t>(15 - i)] = kHexDigits[(hash_ >> (4 * i)) & 15];
  return text;
}

}  // namespace freshet
