#include "engine/plan/time_field.h"

#include <cmath>
#include <limits>
#include <utility>

#include "engine/batch/column_builder.h"
#include "engine/expr/expr.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

enum class Unit : uint8_t { kByMagnitude, kSeconds, kMillis, kMicros, kNanos };

std::optional<Unit> UnitOf(std::string_view pattern) {
  if (pattern == "epoch_s") return Unit::kSeconds;
  if (pattern == "epoch_ms") return Unit::kMillis;
  if (pattern == "epoch_us") return Unit::kMicros;
  if (pattern == "epoch_ns") return Unit::kNanos;
  return std::nullopt;
}

Unit ByMagnitude(double magnitude) {
  if (magnitude < 1e11) return Unit::kSeconds;
  if (magnitude < 1e14) return Unit::kMillis;
  return magnitude < 1e17 ? Unit::kMicros : Unit::kNanos;
}

std::optional<int64_t> ToMicros(int64_t value, Unit unit) {
  if (unit == Unit::kByMagnitude) unit = ByMagnitude(std::fabs(static_cast<double>(value)));
  int64_t us = 0;
  switch (unit) {
    case Unit::kSeconds:
      return __builtin_mul_overflow(value, 1000000, &us) ? std::nullopt : std::optional(us);
    case Unit::kMillis:
      return __builtin_mul_overflow(value, 1000, &us) ? std::nullopt : std::optional(us);
    case Unit::kNanos:
      return value >= 0 ? value / 1000 : -((-(value + 1)) / 1000) - 1;  // towards the past
    default:
      return value;
  }
}

std::optional<int64_t> ToMicros(double value, Unit unit) {
  if (unit == Unit::kByMagnitude) unit = ByMagnitude(std::fabs(value));
  const double factor = unit == Unit::kSeconds ? 1e6 : unit == Unit::kMillis ? 1e3 : unit == Unit::kNanos ? 1e-3 : 1;
  const double us = std::floor(value * factor);
  if (!(std::fabs(us) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(us);
}

template <class Convert>
Column Map(const Column& in, Convert convert) {
  ColumnBuilder out(TypeId::kTimestamp, in.length());
  for (int32_t row = 0; row < in.length(); ++row) {
    const std::optional<int64_t> us = in.IsNull(row) ? std::nullopt : convert(row);
    if (us)
      out.AppendInt64(*us);
    else
      out.AppendNull();
  }
  return out.Finish();
}

Column FromEpoch(const Column& in, Unit unit) {
  if (in.type() == TypeId::kFloat64) return Map(in, [&](int32_t row) { return ToMicros(in.float64s()[row], unit); });
  return Map(in, [&](int32_t row) { return ToMicros(in.int64s()[row], unit); });
}

Column FromText(const Column& in) {
  return Map(in, [&](int32_t row) -> std::optional<int64_t> {
    const Result<EventTime> time = ParseTimeText(in.StringAt(row));
    return time.ok() ? std::optional(time->us) : std::nullopt;
  });
}

std::string Quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

/// `strptime(FIELD, 'PATTERN'[, 'ZONE'])`, bound. The field itself was bound before, so that what fails here is the
/// pattern.
std::optional<BoundExpr> BindPattern(const SpannedText& field, const SpannedText& pattern,
                                     const std::optional<SpannedText>& zone, const Schema& schema,
                                     Diagnostics* diagnostics) {
  SpannedText wrapped = pattern;
  wrapped.value =
      "strptime(" + field.value + ", " + Quote(pattern.value) + (zone ? ", " + Quote(zone->value) : "") + ")";
  wrapped.line_starts.clear();
  const std::optional<ParsedExpr> parsed = ParsedExpr::Parse(wrapped, diagnostics);
  if (!parsed) return std::nullopt;
  return BoundExpr::Bind(*parsed, schema, diagnostics);
}

}  // namespace

std::optional<TimeField> BindTimeField(const SpannedText& field, const std::optional<SpannedText>& pattern,
                                       const std::optional<SpannedText>& zone, const Schema& schema,
                                       Diagnostics* diagnostics) {
  const std::optional<ParsedExpr> parsed = ParsedExpr::Parse(field, diagnostics);
  if (!parsed) return std::nullopt;
  const std::optional<BoundExpr> bound = BoundExpr::Bind(*parsed, schema, diagnostics);
  if (!bound) return std::nullopt;

  TimeField result;
  result.text = bound->ToString();
  for (const int column : bound->columns_read()) result.columns.push_back(schema.field(column).name);
  const std::optional<Unit> unit = pattern ? UnitOf(pattern->value) : std::nullopt;
  const BoundExpr expr = *bound;
  if (zone && (!pattern || unit || expr.type() != TypeId::kString)) {
    diagnostics->Error("FR2202", zone->span, "`zone` is for text that is read by a strptime `pattern`",
                       "remove it, or give the pattern");
    return std::nullopt;
  }
  switch (expr.type()) {
    case TypeId::kTimestamp:
      if (pattern) {
        diagnostics->Error("FR2202", pattern->span,
                           "`" + field.value + "` is a timestamp already, so it takes no pattern",
                           "give the pattern in `schema`, or remove it");
        return std::nullopt;
      }
      result.evaluate = [expr](const Batch& batch) { return expr.Evaluate(batch); };
      return result;
    case TypeId::kInt64:
    case TypeId::kFloat64:
      if (pattern && !unit) {
        diagnostics->Error("FR2202", pattern->span, "`" + field.value + "` is a number, which a pattern cannot read",
                           "use epoch_s, epoch_ms, epoch_us or epoch_ns, or declare the column as string");
        return std::nullopt;
      }
      result.evaluate = [expr, of = unit.value_or(Unit::kByMagnitude)](const Batch& batch) {
        return FromEpoch(expr.Evaluate(batch), of);
      };
      return result;
    case TypeId::kString:
      if (unit) {
        diagnostics->Error("FR2202", pattern->span,
                           "`" + field.value + "` is text, and " + pattern->value + " reads numbers",
                           "declare the column as int64");
        return std::nullopt;
      }
      if (!pattern) {
        result.evaluate = [expr](const Batch& batch) { return FromText(expr.Evaluate(batch)); };
        return result;
      }
      if (const std::optional<BoundExpr> timed = BindPattern(field, *pattern, zone, schema, diagnostics)) {
        result.text = timed->ToString();
        result.evaluate = [expr = *timed](const Batch& batch) { return expr.Evaluate(batch); };
        return result;
      }
      return std::nullopt;
    default:
      diagnostics->Error("FR2201", field.span, std::string("a time cannot be made of ") + TypeName(expr.type()),
                         "a time is a timestamp, a number since 1970 or text");
      return std::nullopt;
  }
}

}  // namespace freshet
