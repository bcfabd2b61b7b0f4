#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace freshet {

/// Writes one JSON text, value by value; commas are its business. Not thread-safe. Bytes that are no UTF-8 become
/// U+FFFD, numbers that JSON does not know (NaN, infinities) become null.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  /// REQUIRES: inside an object; exactly one value follows.
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);
  JsonWriter& Int(int64_t value);
  JsonWriter& Double(double value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();

  JsonWriter& Field(std::string_view key, std::string_view value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, int64_t value) { return Key(key).Int(value); }
  const std::string& text() const { return text_; }

 private:
  void Separate();
  void Quote(std::string_view value);
  std::string text_;
  std::vector<bool> has_element_;
  bool after_key_ = false;
};

}  // namespace freshet
