#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/status.h"

namespace freshet {

/// A JSON text as a tree, for small texts: an answer of an API, not records. Plain data; absent members and wrong types
/// read as null, 0, "" or false, so that fields may be missing.
class JsonValue {
 public:
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  static Result<JsonValue> Parse(std::string_view text);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool boolean() const { return boolean_; }
  double number() const { return number_; }
  int64_t integer() const { return integer_; }
  const std::string& text() const { return text_; }
  /// Elements of an array, values of an object.
  const std::vector<JsonValue>& items() const { return items_; }
  const std::vector<std::string>& keys() const { return keys_; }  ///< of an object, as items()
  /// The value of a member; null when there is none.
  const JsonValue& operator[](std::string_view key) const;

 private:
  friend class JsonTree;
  Kind kind_ = Kind::kNull;
  bool boolean_ = false;
  double number_ = 0;
  int64_t integer_ = 0;
  std::string text_;
  std::vector<JsonValue> items_;
  std::vector<std::string> keys_;
};

}  // namespace freshet
