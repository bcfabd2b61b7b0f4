#include "operators/detector_columns.h"

#include <algorithm>
#include <cmath>

#include "engine/batch/column_builder.h"
#include "operators/state_ttl.h"

namespace freshet {

std::optional<Schema> WithAddedColumns(const OptionsNode& options, const BindContext& bind, const Schema& input,
                                       std::vector<Field> added) {
  const std::string prefix = options.FindString("as").value_or("");
  for (Field& field : added) {
    if (!prefix.empty()) field.name = prefix + "_" + field.name;
    if (!input.Find(field.name)) continue;
    bind.diagnostics->Error("FR3501", options.Has("as") ? options.span("as") : bind.node_span,
                            "the input already has a column `" + field.name + "`, which this detector adds",
                            "give its columns another prefix, for example `as: " + bind.node_id + "`");
    return std::nullopt;
  }
  return input.With(added);
}

std::optional<Schema> DetectorSchema(const OptionsNode& options, const BindContext& bind, const Schema& input,
                                     const DetectorColumnsOptions& columns) {
  std::vector<Field> fields;
  if (columns.predicts)
    fields = {{"expected", TypeId::kFloat64}, {"lower", TypeId::kFloat64}, {"upper", TypeId::kFloat64}};
  fields.insert(fields.end(), {{"score", TypeId::kFloat64},
                               {"p_value", TypeId::kFloat64},
                               {"is_anomaly", TypeId::kBool},
                               {"severity", TypeId::kString},
                               {"why", TypeId::kString}});
  if (columns.has_direction) fields.push_back({"direction", TypeId::kString});
  if (columns.has_alarm_score) fields.push_back({"alarm_score", TypeId::kFloat64});
  if (columns.has_rule) fields.push_back({"rule", TypeId::kString});
  if (columns.has_alarm_rate) fields.push_back({"alarm_rate", TypeId::kFloat64});
  return WithAddedColumns(options, bind, input, std::move(fields));
}

std::optional<BoundExpr> BindNumber(const SpannedText& text, const Schema& input, const BindContext& bind,
                                    const char* code, const char* what) {
  const auto parsed = ParsedExpr::Parse(text, bind.diagnostics);
  auto bound = parsed ? BoundExpr::Bind(*parsed, input, bind.diagnostics) : std::nullopt;
  if (!bound || IsNumeric(bound->type())) return bound;
  bind.diagnostics->Error(
      code, text.span,
      std::string(what) + " must be a number; this expression gives " + std::string(TypeName(bound->type())));
  return std::nullopt;
}

OptionSpec DetectorOption(const char* name, OptionKind kind, const char* doc, const char* fallback, StateEffect state) {
  OptionSpec spec;
  spec.name = name;
  spec.kind = kind;
  spec.doc = doc;
  spec.default_text = fallback;
  spec.state = state;
  return spec;
}

void AddDetectorOptions(NodeDescriptor* descriptor) {
  descriptor->options.push_back(DetectorOption(
      "key", OptionKind::kNameList, "One model for each value of these columns; without it one for the whole stream."));
  descriptor->options.push_back(StateTtlOption());
  descriptor->options.push_back(DetectorOption(
      "max_p", OptionKind::kFloat, "A row is an anomaly when its p_value is below this.", "0.001", StateEffect::kNone));
  descriptor->options.back().min = 0;
  descriptor->options.back().max = 1;
  descriptor->options.push_back(DetectorOption(
      "as", OptionKind::kString, "Prefix of the added columns, as in PREFIX_score.", "", StateEffect::kNone));
}

DetectorColumns::DetectorColumns(const DetectorColumnsOptions& options, int32_t rows) : options_(options) {
  const auto add = [&](TypeId type) { builders_.emplace_back(type, rows); };
  if (options.predicts)
    for (int i = 0; i < 3; ++i) add(TypeId::kFloat64);
  add(TypeId::kFloat64);
  add(TypeId::kFloat64);
  add(TypeId::kBool);
  add(TypeId::kString);
  add(TypeId::kString);
  if (options.has_direction) add(TypeId::kString);
  if (options.has_alarm_score) add(TypeId::kFloat64);
  if (options.has_rule) add(TypeId::kString);
  if (options.has_alarm_rate) add(TypeId::kFloat64);
}

void DetectorColumns::Add(const Row& row) {
  size_t c = 0;
  const auto number = [&](double v) {
    if (std::isnan(v))
      builders_[c++].AppendNull();
    else
      builders_[c++].AppendFloat64(v);
  };
  const auto text = [&](const char* v) {
    if (v == nullptr || *v == 0)
      builders_[c++].AppendNull();
    else
      builders_[c++].AppendString(v);
  };
  if (options_.predicts) {
    number(row.expected);
    number(row.lower);
    number(row.upper);
  }
  number(row.p_value ? row.score : NAN);
  number(row.p_value.value_or(NAN));
  builders_[c++].AppendBool(row.is_anomaly);
  text(SeverityName(row.severity.value_or(SeverityOf(row.p_value))));
  text(row.why.c_str());
  if (options_.has_direction) text(row.direction == 0 ? nullptr : row.direction > 0 ? "up" : "down");
  if (options_.has_alarm_score) builders_[c++].AppendFloat64(row.alarm_score);
  if (options_.has_rule) text(row.rule);
  if (options_.has_alarm_rate) number(row.alarm_rate);
}

std::vector<Column> DetectorColumns::Finish() {
  std::vector<Column> columns;
  for (ColumnBuilder& b : builders_) columns.push_back(b.Finish());
  return columns;
}

double NumberAt(const Column& column, int32_t row) {
  if (column.IsNull(row)) return NAN;
  return column.type() == TypeId::kInt64 ? static_cast<double>(column.int64s()[row]) : column.float64s()[row];
}

}  // namespace freshet
