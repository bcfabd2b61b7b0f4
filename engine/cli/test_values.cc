#include "engine/cli/test_values.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "engine/options/parse_time.h"
#include "engine/serve/json_writer.h"

namespace freshet::cli {
namespace {

template <class T>
std::optional<T> ParseNumber(const std::string& text) {
  T value{};
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseDouble(const std::string& text) {
  if (text == ".nan" || text == ".NaN") return std::nan("");
  if (text == ".inf") return HUGE_VAL;
  if (text == "-.inf") return -HUGE_VAL;
  return ParseNumber<double>(text);
}

bool SameDouble(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::fabs(a - b) <= 1e-9 * std::fmax(std::fabs(a), std::fabs(b));
}

/// Lists and maps in a `json` column.
void WriteJson(const ConfigValue& value, JsonWriter& json) {
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      json.Null();
      break;
    case ConfigValue::Kind::kScalar:
      if (!value.quoted && (value.text() == "true" || value.text() == "false"))
        json.Bool(value.text() == "true");
      else if (const auto integer = ParseNumber<int64_t>(value.text()); integer && !value.quoted)
        json.Int(*integer);
      else if (const auto number = ParseNumber<double>(value.text()); number && !value.quoted)
        json.Double(*number);
      else
        json.String(value.text());
      break;
    case ConfigValue::Kind::kSequence:
      json.BeginArray();
      for (const ConfigValue& item : value.items) WriteJson(item, json);
      json.EndArray();
      break;
    case ConfigValue::Kind::kMap:
      json.BeginObject();
      for (const ConfigValue::Entry& entry : value.entries) {
        json.Key(entry.key.value);
        WriteJson(entry.value, json);
      }
      json.EndObject();
      break;
  }
}

Status AppendList(const ConfigValue& value, ColumnBuilder* column) {
  std::vector<double> numbers;
  for (const ConfigValue& item : value.items) {
    const std::optional<double> number = item.is_scalar() ? ParseDouble(item.text()) : std::nullopt;
    if (!number) return Status::InvalidArgument("a list here holds numbers");
    numbers.push_back(*number);
  }
  column->AppendList(numbers);
  return Status::Ok();
}

Status AppendScalar(const std::string& text, ColumnBuilder* column) {
  const auto bad = [&] { return Status::InvalidArgument("`" + text + "` is no " + TypeName(column->type())); };
  switch (column->type()) {
    case TypeId::kBool:
      if (text != "true" && text != "false") return bad();
      column->AppendBool(text == "true");
      return Status::Ok();
    case TypeId::kInt64: {
      const auto v = ParseNumber<int64_t>(text);
      if (!v) return bad();
      column->AppendInt64(*v);
      return Status::Ok();
    }
    case TypeId::kFloat64: {
      const auto v = ParseDouble(text);
      if (!v) return bad();
      column->AppendFloat64(*v);
      return Status::Ok();
    }
    case TypeId::kTimestamp: {
      const Result<EventTime> time = ParseTimeText(text);
      if (!time.ok()) return time.status();
      column->AppendInt64(time->us);
      return Status::Ok();
    }
    case TypeId::kString:
    case TypeId::kJson:
      column->AppendString(text);
      return Status::Ok();
    case TypeId::kListFloat64:
      break;
  }
  return bad();
}

}  // namespace

Status AppendTestValue(const ConfigValue& value, ColumnBuilder* column) {
  if (value.is_null()) {
    column->AppendNull();
    return Status::Ok();
  }
  if (column->type() == TypeId::kListFloat64 && value.is_sequence()) return AppendList(value, column);
  if (!value.is_scalar()) {
    if (column->type() != TypeId::kJson)
      return Status::InvalidArgument(std::string("expected one ") + TypeName(column->type()));
    JsonWriter json;
    WriteJson(value, json);
    column->AppendString(json.text());
    return Status::Ok();
  }
  return AppendScalar(value.text(), column);
}

bool SameAsTestValue(const ConfigValue& expected, const Column& column, int32_t row) {
  if (expected.is_null() || column.IsNull(row)) return expected.is_null() && column.IsNull(row);
  ColumnBuilder builder(column.type(), 1);
  if (!AppendTestValue(expected, &builder).ok()) return false;
  const Column one = builder.Finish();
  switch (column.type()) {
    case TypeId::kBool:
      return one.BoolAt(0) == column.BoolAt(row);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return one.int64s()[0] == column.int64s()[row];
    case TypeId::kFloat64:
      return SameDouble(one.float64s()[0], column.float64s()[row]);
    case TypeId::kString:
    case TypeId::kJson:
      return one.StringAt(0) == column.StringAt(row);
    case TypeId::kListFloat64: {
      const auto a = one.ListAt(0);
      const auto b = column.ListAt(row);
      bool same = a.size() == b.size();
      for (size_t i = 0; same && i < a.size(); ++i) same = SameDouble(a[i], b[i]);
      return same;
    }
  }
  return false;
}

std::string TestValueText(const ConfigValue& value) {
  if (value.is_scalar() && !value.quoted) return value.text();
  JsonWriter json;
  WriteJson(value, json);
  return json.text();
}

}  // namespace freshet::cli
