#include "connectors/format/json_value.h"

#include <simdjson.h>

namespace freshet {

class JsonTree {
 public:
  static JsonValue From(const simdjson::dom::element& element) {
    using Type = simdjson::dom::element_type;
    JsonValue value;
    switch (element.type()) {
      case Type::NULL_VALUE:
        break;
      case Type::BOOL:
        value.kind_ = JsonValue::Kind::kBool;
        value.boolean_ = element.get_bool().value_unsafe();
        break;
      case Type::INT64:
        value.kind_ = JsonValue::Kind::kNumber;
        value.integer_ = element.get_int64().value_unsafe();
        value.number_ = static_cast<double>(value.integer_);
        break;
      case Type::UINT64:
        value.kind_ = JsonValue::Kind::kNumber;
        value.number_ = static_cast<double>(element.get_uint64().value_unsafe());
        value.integer_ = INT64_MAX;
        break;
      case Type::DOUBLE:
        value.kind_ = JsonValue::Kind::kNumber;
        value.number_ = element.get_double().value_unsafe();
        if (value.number_ > -0x1p63 && value.number_ < 0x1p63) value.integer_ = static_cast<int64_t>(value.number_);
        break;
      case Type::STRING:
        value.kind_ = JsonValue::Kind::kString;
        value.text_ = element.get_string().value_unsafe();
        break;
      case Type::ARRAY: {
        const simdjson::dom::array items = element.get_array().value_unsafe();
        value.kind_ = JsonValue::Kind::kArray;
        for (const simdjson::dom::element item : items) value.items_.push_back(From(item));
        break;
      }
      case Type::OBJECT: {
        const simdjson::dom::object members = element.get_object().value_unsafe();
        value.kind_ = JsonValue::Kind::kObject;
        for (const auto& [key, item] : members) {
          value.keys_.emplace_back(key);
          value.items_.push_back(From(item));
        }
        break;
      }
    }
    return value;
  }
};

Result<JsonValue> JsonValue::Parse(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (const auto error = parser.parse(text.data(), text.size()).get(root); error != simdjson::SUCCESS)
    return Status::DataLoss(std::string("no JSON: ") + simdjson::error_message(error));
  return JsonTree::From(root);
}

const JsonValue& JsonValue::operator[](std::string_view key) const {
  static const JsonValue kNull;
  for (size_t i = 0; i < keys_.size(); ++i)
    if (keys_[i] == key) return items_[i];
  return kNull;
}

}  // namespace freshet
