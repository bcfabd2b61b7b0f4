#include "operators/select.h"

#include <algorithm>

#include "operators/binding.h"

namespace freshet {
namespace {

class Select final : public Operator {
 public:
  Select(SchemaRef schema, std::vector<BoundExpr> columns) : schema_(std::move(schema)), columns_(std::move(columns)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    std::vector<Column> columns;
    columns.reserve(columns_.size());
    for (const BoundExpr& e : columns_)
      columns.push_back(e.AsColumn() ? in.column(*e.AsColumn()) : e.Evaluate(in, &counters_->nulled));
    out.Emit(in.WithColumns(schema_, std::move(columns)));
    return Status::Ok();
  }

 private:
  const SchemaRef schema_;
  const std::vector<BoundExpr> columns_;
  NodeCounters* counters_ = nullptr;
};

/// What `columns` says: (new name, expression), or nothing after a report.
std::optional<std::vector<std::pair<SpannedText, SpannedText>>> ReadColumns(const ConfigValue& value,
                                                                            Diagnostics* diagnostics) {
  std::vector<std::pair<SpannedText, SpannedText>> columns;
  bool ok = true;
  const auto bad = [&](const SourceSpan& span, const char* message) {
    diagnostics->Error("FR3211", span, message, "write a list of column names, or `new_name: expression` lines");
    ok = false;
  };
  if (value.is_scalar()) columns.emplace_back(value.scalar, value.scalar);
  for (const ConfigValue& item : value.items) {
    if (item.is_scalar())
      columns.emplace_back(item.scalar, item.scalar);
    else
      bad(item.span(), "an entry of `columns` is not a name");
  }
  for (const ConfigValue::Entry& entry : value.entries) {
    if (entry.value.is_scalar())
      columns.emplace_back(entry.key, entry.value.scalar);
    else
      bad(entry.value.span(), "a column is given by a name or an expression");
  }
  if (ok && columns.empty()) bad(value.span(), "`columns` is empty");
  if (!ok) return std::nullopt;
  return columns;
}

std::optional<BoundOperator> MakeSelect(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  const ConfigValue* raw = options.Raw("columns");
  if (input == nullptr || raw == nullptr) return std::nullopt;
  const auto columns = ReadColumns(*raw, bind.diagnostics);
  if (!columns) return std::nullopt;
  const bool names_only = !raw->is_map();
  BoundOperator bound;
  std::vector<Field> fields;
  std::vector<BoundExpr> exprs;
  bool ok = true;
  for (const auto& [name, text] : *columns) {
    const std::string& column_name = name.value;  // Clang 14 captures no structured bindings
    if (std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return f.name == column_name; })) {
      bind.diagnostics->Error("FR3212", name.span, "`" + name.value + "` is selected twice");
      ok = false;
      continue;
    }
    if (names_only && !FindColumn(*input, text, bind.diagnostics)) {
      ok = false;
      continue;
    }
    const auto parsed = ParsedExpr::Parse(text, bind.diagnostics);
    const auto expr = parsed ? BoundExpr::Bind(*parsed, *input, bind.diagnostics) : std::nullopt;
    if (!expr) {
      ok = false;
      continue;
    }
    fields.push_back({name.value, expr->type()});
    AddColumnsRead(*expr, *input, &bound.columns_read);
    bound.explain.emplace_back(name.value, expr->ToString());
    exprs.push_back(*expr);
  }
  if (!ok) return std::nullopt;
  auto schema = std::make_shared<const Schema>(std::move(fields));
  bound.outputs = {{"", schema, OutputOrder::kInputOrder, {}}};
  bound.stateless = true;
  bound.accepts_selection = true;
  bound.passes_input_columns = false;
  bound.instantiate = [schema, exprs] { return std::make_unique<Select>(schema, exprs); };
  return bound;
}

}  // namespace

NodeDescriptor SelectDescriptor() {
  NodeDescriptor d;
  d.type = "select";
  d.summary = "keeps, renames or computes columns and drops the rest";
  d.doc =
      "`columns` is a list of names, or lines `new_name: expression` over the input's columns. Only these columns go "
      "on, in\n"
      "this order. An expression that overflows or divides by zero gives null, which is counted.";
  d.example =
      "small:\n  type: select\n  inputs: [events]\n  columns:\n    video: video_id\n    minutes: watch_seconds / 60";
  OptionSpec columns;
  columns.name = "columns";
  columns.kind = OptionKind::kAny;
  columns.required = true;
  columns.doc = "Names of columns, or `new_name: expression` lines.";
  d.options = {columns};
  d.inputs_max = 64;
  d.make_operator = MakeSelect;
  return d;
}

}  // namespace freshet
