#include "connectors/format/dom_record_decoder.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "connectors/format/json_scan.h"

namespace freshet {
namespace {

namespace dom = simdjson::dom;

/// What was found, for people: a type, and for texts that could not be read the text itself.
std::string Describe(const dom::element& value, bool with_text) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return "array";
    case dom::element_type::OBJECT:
      return "object";
    case dom::element_type::BOOL:
      return "bool";
    case dom::element_type::NULL_VALUE:
      return "null";
    case dom::element_type::STRING: {
      if (!with_text) return "string";
      const std::string_view text = value.get_string().value_unsafe();
      return "\"" + std::string(Utf8Prefix(text, 40)) + (text.size() > 40 ? "…\"" : "\"");
    }
    default:
      return "number";
  }
}

bool Int64Of(const dom::element& value, int64_t* out) {
  if (value.get_int64().get(*out) == simdjson::SUCCESS) return true;
  double number = 0;
  if (value.type() != dom::element_type::DOUBLE || value.get_double().get(number) != simdjson::SUCCESS) return false;
  if (!(number >= -0x1p63 && number < 0x1p63) || number != std::floor(number)) return false;
  *out = static_cast<int64_t>(number);
  return true;
}

bool TimestampOf(const dom::element& value, const TimestampParser& parser, int64_t* out) {
  std::optional<int64_t> us;
  switch (value.type()) {
    case dom::element_type::STRING:
      us = parser.ParseText(value.get_string().value_unsafe());
      break;
    case dom::element_type::INT64:
      us = parser.ParseInteger(value.get_int64().value_unsafe());
      break;
    case dom::element_type::DOUBLE:
      us = parser.ParseDouble(value.get_double().value_unsafe());
      break;
    default:
      break;
  }
  if (us) *out = *us;
  return us.has_value();
}

}  // namespace

class DomRecordDecoder::Impl {
 public:
  Impl(const SourceSchema* schema, const JsonFieldTree* tree)
      : schema_(*schema), tree_(*tree), seen_(static_cast<size_t>(tree->size())), set_(schema->fields.size()) {
    for (const SourceField& field : schema_.fields)
      needs_raw_ = needs_raw_ || (field.type == TypeId::kJson && field.column >= 0);
  }

  RecordOutcome Decode(const char* line, int64_t size, RowColumns* rows, std::string* reason) {
    rows->BeginRow();
    dom::element record;
    const simdjson::error_code error = parser_.parse(line, static_cast<size_t>(size), false).get(record);
    if (error != simdjson::SUCCESS) return Refuse(line, size, error, reason);
    dom::object object;
    if (record.get_object().get(object) != simdjson::SUCCESS) {
      *reason = "wrong_type: record: expected object, found " + Describe(record, false);
      return RecordOutcome::kDead;
    }
    std::fill(seen_.begin(), seen_.end(), false);
    std::fill(set_.begin(), set_.end(), false);
    rows_ = rows;
    reason_ = reason;
    if (!ReadObject(object, 0)) return RecordOutcome::kDead;
    if (needs_raw_) ReadRaw(line, line + size);
    for (size_t i = 0; i < set_.size(); ++i)
      if (!set_[i] && schema_.fields[i].column >= 0) rows->SetNull(schema_.fields[i].column);
    return RecordOutcome::kRow;
  }

 private:
  /// The reason depends on the bytes alone: simdjson's error codes differ between instruction sets.
  static RecordOutcome Refuse(const char* line, int64_t size, simdjson::error_code, std::string* reason) {
    if (std::all_of(line, line + size, IsJsonSpace)) return RecordOutcome::kBlank;
    *reason = IsUtf8(line, size) ? "torn_json: the line is not one whole JSON value"
                                 : "invalid_utf8: the line is not UTF-8 text";
    return RecordOutcome::kDead;
  }

  bool ReadObject(const dom::object& object, int node) {
    for (const dom::key_value_pair member : object) {
      const int child = tree_.Child(node, member.key);
      if (child < 0 || seen_[static_cast<size_t>(child)]) continue;
      seen_[static_cast<size_t>(child)] = true;
      const JsonFieldTree::Node& n = tree_.node(child);
      for (const int field : n.fields)
        if (!ReadValue(member.value, static_cast<size_t>(field))) return false;
      if (n.children.empty() || member.value.is_null()) continue;
      dom::object inner;
      if (member.value.get_object().get(inner) != simdjson::SUCCESS) {
        *reason_ = "wrong_type: " + FirstFieldBelow(child) + ": expected object at `" + n.key + "`, found " +
                   Describe(member.value, false);
        return false;
      }
      if (!ReadObject(inner, child)) return false;
    }
    return true;
  }

  std::string FirstFieldBelow(int node) const {
    while (tree_.node(node).fields.empty()) node = tree_.node(node).children.front();
    return schema_.fields[static_cast<size_t>(tree_.node(node).fields.front())].name;
  }

  bool ReadValue(const dom::element& value, size_t index) {
    const SourceField& field = schema_.fields[index];
    if (value.is_null() || field.type == TypeId::kJson) return true;  // json: see ReadRaw
    const int c = field.column;
    bool ok = false;
    bool with_text = false;
    switch (field.type) {
      case TypeId::kString: {
        std::string_view text;
        ok = value.get_string().get(text) == simdjson::SUCCESS;
        if (ok && c >= 0) rows_->SetString(c, text.data(), static_cast<int64_t>(text.size()));
        break;
      }
      case TypeId::kInt64: {
        int64_t number = 0;
        ok = Int64Of(value, &number);
        if (ok && c >= 0) rows_->SetInt64(c, number);
        break;
      }
      case TypeId::kFloat64: {
        double number = 0;
        ok = value.is_number() && value.get_double().get(number) == simdjson::SUCCESS;
        if (ok && c >= 0) rows_->SetFloat64(c, number);
        break;
      }
      case TypeId::kBool: {
        bool truth = false;
        ok = value.get_bool().get(truth) == simdjson::SUCCESS;
        if (ok && c >= 0) rows_->SetBool(c, truth);
        break;
      }
      case TypeId::kTimestamp: {
        int64_t us = 0;
        ok = TimestampOf(value, field.time, &us);
        with_text = true;
        if (ok && c >= 0) rows_->SetInt64(c, us);
        break;
      }
      case TypeId::kListFloat64:
        ok = ReadList(value, c);
        break;
      case TypeId::kJson:
        break;
    }
    if (ok)
      set_[index] = true;
    else
      *reason_ =
          "wrong_type: " + field.name + ": expected " + TypeName(field.type) + ", found " + Describe(value, with_text);
    return ok;
  }

  bool ReadList(const dom::element& value, int c) {
    dom::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return false;
    list_.clear();
    for (const dom::element item : array) {
      double number = 0;
      if (!item.is_number() || item.get_double().get(number) != simdjson::SUCCESS) return false;
      list_.push_back(number);
    }
    if (c >= 0) rows_->SetList(c, list_);
    return true;
  }

  /// Walks the text of a record known to be valid once more, for the raw bytes of json columns.
  void ReadRaw(const char* p, const char* end) {
    std::fill(seen_.begin(), seen_.end(), false);
    ReadRawObject(SkipJsonSpace(p, end), end, 0);
  }

  const char* ReadRawObject(const char* p, const char* end, int node) {
    for (p = SkipJsonSpace(p + 1, end); *p != '}';) {
      const char* const key_end = SkipValidString(p);
      const std::string_view key = KeyOf(p, key_end);
      p = SkipJsonSpace(SkipJsonSpace(key_end, end) + 1, end);
      const int child = tree_.Child(node, key);
      const bool first = child >= 0 && !seen_[static_cast<size_t>(child)];
      const char* const value_end = SkipValidValue(p, end);
      if (first) {
        seen_[static_cast<size_t>(child)] = true;
        for (const int field : tree_.node(child).fields) SetRaw(static_cast<size_t>(field), p, value_end);
        if (!tree_.node(child).children.empty() && *p == '{') ReadRawObject(p, end, child);
      }
      p = SkipJsonSpace(value_end, end);
      if (*p == ',') p = SkipJsonSpace(p + 1, end);
    }
    return p + 1;
  }

  void SetRaw(size_t index, const char* begin, const char* end) {
    const SourceField& field = schema_.fields[index];
    if (field.type != TypeId::kJson || field.column < 0 || *begin == 'n') return;
    rows_->SetString(field.column, begin, end - begin);
    set_[index] = true;
  }

  /// The key between the quotes; one with escapes is unescaped by simdjson.
  std::string_view KeyOf(const char* quote, const char* end) {
    const std::string_view inside(quote + 1, static_cast<size_t>(end - quote - 2));
    if (inside.find('\\') == std::string_view::npos) return inside;
    const simdjson::padded_string padded(quote, static_cast<size_t>(end - quote));
    std::string_view key;
    dom::element element;
    if (key_parser_.parse(padded).get(element) == simdjson::SUCCESS &&
        element.get_string().get(key) == simdjson::SUCCESS)
      return key;
    return inside;
  }

  const SourceSchema& schema_;
  const JsonFieldTree& tree_;
  dom::parser parser_;
  dom::parser key_parser_;
  std::vector<char> seen_;  ///< per node of the tree: its key came already
  std::vector<char> set_;   ///< per field: its column has a value
  std::vector<double> list_;
  bool needs_raw_ = false;
  RowColumns* rows_ = nullptr;
  std::string* reason_ = nullptr;
};

DomRecordDecoder::DomRecordDecoder(const SourceSchema* schema, const JsonFieldTree* tree)
    : impl_(std::make_unique<Impl>(schema, tree)) {}
DomRecordDecoder::~DomRecordDecoder() = default;

RecordOutcome DomRecordDecoder::Decode(const char* line, int64_t size, RowColumns* rows, std::string* reason) {
  return impl_->Decode(line, size, rows, reason);
}

bool IsUtf8(const char* bytes, int64_t size) { return simdjson::validate_utf8(bytes, static_cast<size_t>(size)); }

bool IsJson(std::string_view text) {
  thread_local dom::parser parser;
  return parser.parse(text.data(), text.size(), true).error() == simdjson::SUCCESS;
}

}  // namespace freshet
