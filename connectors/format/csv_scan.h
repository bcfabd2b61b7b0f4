#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace freshet {

/// One field of a csv record, without its quotes.
struct CsvField {
  const char* begin = nullptr;
  const char* end = nullptr;
  bool quoted = false;
  bool has_doubled_quotes = false;
};

/// Where a record that begins at `p` ends, and how.
struct CsvRecordEnd {
  const char* next = nullptr;     ///< behind the record's line feed; `end` if there is none
  bool whole = false;             ///< a line feed, or the end of the input outside quotes, ends it
  bool open_quote = false;        ///< the end was met inside quotes
  bool text_after_quote = false;  ///< "abc"def
};

/// Reads one record of [p, end) by RFC 4180; a quote counts only as a field's first byte. `fields` may be null.
inline CsvRecordEnd ScanCsvRecord(const char* p, const char* end, char delimiter, std::vector<CsvField>* fields) {
  CsvRecordEnd result;
  for (;;) {
    CsvField field;
    if (p < end && *p == '"') {
      field.quoted = true;
      field.begin = ++p;
      for (;;) {
        p = static_cast<const char*>(std::memchr(p, '"', static_cast<size_t>(end - p)));
        if (p == nullptr) {
          result.next = end;
          result.open_quote = true;
          return result;
        }
        if (p + 1 < end && p[1] == '"') {
          field.has_doubled_quotes = true;
          p += 2;
          continue;
        }
        break;
      }
      field.end = p++;
      const char* const after = p;
      while (p < end && *p != delimiter && *p != '\n') ++p;
      const bool carriage_return = p == after + 1 && *after == '\r' && (p == end || *p == '\n');
      if (p != after && !carriage_return) result.text_after_quote = true;
    } else {
      field.begin = p;
      while (p < end && *p != delimiter && *p != '\n') ++p;
      field.end = p;
      if ((p == end || *p == '\n') && field.end > field.begin && field.end[-1] == '\r') --field.end;
    }
    if (fields != nullptr) fields->push_back(field);
    if (p < end && *p == delimiter) {
      ++p;
      continue;
    }
    result.next = p < end ? p + 1 : end;
    result.whole = p < end;
    return result;
  }
}

}  // namespace freshet
