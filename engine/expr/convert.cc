#include <fast_float/fast_float.h>

#include <charconv>
#include <cmath>

#include "engine/base/units.h"
#include "engine/expr/eval.h"
#include "engine/expr/lexer.h"
#include "engine/expr/timestamp_text.h"

namespace freshet::expr_internal {
namespace {

/// Maps every valid row; a row for which `map(in, out)` is false becomes null.
template <class In, class Out, class Map>
Vec MapRows(const EvalContext& context, const Vec& vec, Kind to, bool counted, VecWriter& writer, Map map) {
  const int32_t rows = vec.stored();
  const In* in = vec.as<In>();
  Out* out = writer.values<Out>();
  uint8_t* valid = nullptr;
  for (int32_t i = 0; i < rows; ++i) {
    out[i] = Out();
    if (vec.valid != nullptr && vec.valid[i] == 0) continue;
    if (map(in[i], out[i])) continue;
    if (valid == nullptr) {
      valid = writer.valid();
      if (vec.valid != nullptr) std::memcpy(valid, vec.valid, static_cast<size_t>(rows));
    }
    valid[i] = 0;
  }
  if (valid == nullptr) writer.ShareValid(vec);
  Vec result = writer.Finish();
  result.kind = to;
  if (counted && valid != nullptr) CountNulled(context, vec.valid, result);
  return result;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool ParseInt(std::string_view text, int64_t& value) {
  text = Trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool ParseFloat(std::string_view text, double& value) {
  text = Trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = fast_float::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool ParseBool(std::string_view text, uint8_t& value) {
  const std::string word = Lower(Trimmed(text));
  value = word == "true" || word == "t" || word == "yes" || word == "1";
  return value != 0 || word == "false" || word == "f" || word == "no" || word == "0";
}

/// To the nearest, halves to even.
bool RoundToInt(double x, int64_t& value) {
  const double rounded = std::nearbyint(x);
  if (!(rounded >= -9223372036854775808.0 && rounded < 9223372036854775808.0)) return false;
  value = static_cast<int64_t>(rounded);
  return true;
}

Vec ToFloat(const EvalContext& context, const Vec& vec, bool counted) {
  VecWriter writer(Kind::kFloat64, vec.stored(), vec.constant, vec.count);
  const Kind to = Kind::kFloat64;
  if (vec.kind == Kind::kInt64 || vec.kind == Kind::kDuration) {
    // No row can fail: a plain loop, which the compiler vectorises.
    const double divisor = vec.kind == Kind::kDuration ? 1e6 : 1;
    const auto* in = vec.as<int64_t>();
    auto* out = writer.values<double>();
    for (int32_t i = 0; i < vec.stored(); ++i) out[i] = static_cast<double>(in[i]) / divisor;
    writer.ShareValid(vec);
    return writer.Finish();
  }
  if (vec.kind == Kind::kBool)
    return MapRows<uint8_t, double>(context, vec, to, counted, writer,
                                    [](uint8_t in, double& out) { return out = in, true; });
  return MapRows<std::string_view, double>(context, vec, to, counted, writer, ParseFloat);
}

Vec ToInteger(const EvalContext& context, const Vec& vec, Kind to, bool counted) {
  VecWriter writer(to, vec.stored(), vec.constant, vec.count);
  if (vec.kind == Kind::kBool)
    return MapRows<uint8_t, int64_t>(context, vec, to, counted, writer,
                                     [](uint8_t in, int64_t& out) { return out = in, true; });
  if (vec.kind == Kind::kFloat64) {
    const double factor = to == Kind::kDuration ? 1e6 : 1;
    return MapRows<double, int64_t>(context, vec, to, counted, writer,
                                    [factor](double in, int64_t& out) { return RoundToInt(in * factor, out); });
  }
  if (to == Kind::kInt64) return MapRows<std::string_view, int64_t>(context, vec, to, counted, writer, ParseInt);
  if (to == Kind::kTimestamp)
    return MapRows<std::string_view, int64_t>(
        context, vec, to, counted, writer, [](std::string_view in, int64_t& out) { return ParseTimestamp(in, &out); });
  return MapRows<std::string_view, int64_t>(context, vec, to, counted, writer, [](std::string_view in, int64_t& out) {
    const auto duration = ParseDuration(in);
    out = duration.ok() ? duration->us : 0;
    return duration.ok();
  });
}

Vec ToBool(const EvalContext& context, const Vec& vec, bool counted) {
  VecWriter writer(Kind::kBool, vec.stored(), vec.constant, vec.count);
  const Kind to = Kind::kBool;
  if (vec.kind == Kind::kInt64)
    return MapRows<int64_t, uint8_t>(context, vec, to, counted, writer,
                                     [](int64_t in, uint8_t& out) { return out = in != 0, true; });
  return MapRows<std::string_view, uint8_t>(context, vec, to, counted, writer, ParseBool);
}

std::string TextOf(const Value& value) {
  switch (value.kind) {
    case Kind::kTimestamp:
      return FormatTime(EventTime{value.integer});
    case Kind::kDuration:
      return FormatDuration(Duration{value.integer});
    case Kind::kFloat64: {
      std::string text = FormatDouble(value.number);
      if (text.ends_with(".0")) text.resize(text.size() - 2);
      return text;
    }
    default:
      return value.ToString();
  }
}

Vec ToText(const Vec& vec, Kind to) {
  VecWriter writer(to, vec.stored(), vec.constant, vec.count);
  auto* out = writer.values<std::string_view>();
  for (int32_t i = 0; i < vec.stored(); ++i) {
    const Value value = ValueAt(vec, i);
    out[i] = value.null ? std::string_view() : writer.Keep(TextOf(value));
  }
  writer.ShareValid(vec);
  return writer.Finish();
}

Vec Nulls(Kind to, const Vec& vec) {
  VecWriter writer(to, 1, true, vec.count);
  std::memset(writer.values<char>(), 0, static_cast<size_t>(WidthOf(to)));
  *writer.valid() = 0;
  return writer.Finish();
}

class ConvertNode final : public EvalNode {
 public:
  ConvertNode(EvalRef operand, Kind to, bool counted) : EvalNode(to), operand_(std::move(operand)), counted_(counted) {}
  Vec Evaluate(const EvalContext& context) const override {
    return ConvertVec(context, operand_->Evaluate(context), kind(), counted_);
  }

 private:
  EvalRef operand_;
  bool counted_;
};

}  // namespace

bool CanCast(Kind from, Kind to) {
  if (from == to || from == Kind::kNull) return true;
  if (from == Kind::kList || to == Kind::kList || to == Kind::kNull) return false;
  if (to == Kind::kString || IsText(from)) return to != Kind::kJson || IsText(from);
  switch (to) {
    case Kind::kFloat64:
      return from == Kind::kInt64 || from == Kind::kBool || from == Kind::kDuration;
    case Kind::kInt64:
      return from == Kind::kFloat64 || from == Kind::kBool;
    case Kind::kBool:
      return from == Kind::kInt64;
    case Kind::kDuration:
      return from == Kind::kFloat64;
    default:
      return false;
  }
}

Vec ConvertVec(const EvalContext& context, const Vec& vec, Kind to, bool counted) {
  if (vec.kind == to) return vec;
  if (vec.kind == Kind::kNull) return Nulls(to, vec);
  if (IsText(vec.kind) && IsText(to)) {
    Vec result = vec;
    result.kind = to;
    if (result.column) result.column = result.column->Retyped(TypeOf(to));
    return result;
  }
  switch (to) {
    case Kind::kFloat64:
      return ToFloat(context, vec, counted);
    case Kind::kBool:
      return ToBool(context, vec, counted);
    case Kind::kString:
    case Kind::kJson:
      return ToText(vec, to);
    default:
      return ToInteger(context, vec, to, counted);
  }
}

EvalRef MakeConvert(EvalRef operand, Kind to, bool counted) {
  if (operand->kind() == to) return operand;
  return std::make_shared<ConvertNode>(std::move(operand), to, counted);
}

}  // namespace freshet::expr_internal
