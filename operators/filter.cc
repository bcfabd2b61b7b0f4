#include "operators/filter.h"

#include "operators/binding.h"

namespace freshet {
namespace {

class Filter final : public Operator {
 public:
  explicit Filter(BoundExpr where) : where_(std::move(where)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    Selection kept = where_.Filter(in);
    const int32_t dropped = in.row_count() - kept.count;
    counters_->filtered += dropped;
    if (kept.count > 0) out.Emit(dropped == 0 ? in : in.WithSelection(std::move(kept)));
    return Status::Ok();
  }

 private:
  const BoundExpr where_;
  NodeCounters* counters_ = nullptr;
};

std::optional<BoundOperator> MakeFilter(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  const auto text = options.FindExpr("where");
  if (input == nullptr || !text) return std::nullopt;
  auto where = BindCondition(*text, *input, bind.diagnostics);
  if (!where) return std::nullopt;
  BoundOperator bound;
  bound.outputs = {{"", std::make_shared<const Schema>(*input), OutputOrder::kInputOrder, {}}};
  bound.stateless = true;
  bound.accepts_selection = true;
  AddColumnsRead(*where, *input, &bound.columns_read);
  bound.explain = {{"where", where->ToString()}};
  bound.filter = [where = *where](const Batch& in) { return where.Filter(in); };
  bound.instantiate = [where = *where] { return std::make_unique<Filter>(where); };
  return bound;
}

}  // namespace

NodeDescriptor FilterDescriptor() {
  NodeDescriptor d;
  d.type = "filter";
  d.summary = "keeps the rows for which a condition is true";
  d.doc =
      "Rows for which `where` is false or null are dropped and counted as filtered. Order and time of the others "
      "stay.\n"
      "The engine reads only the columns that somebody needs, and runs filters next to the decoder.";
  d.example = "watched:\n  type: filter\n  inputs: [events]\n  where: status = 200 and watch_seconds > 0";
  OptionSpec where;
  where.name = "where";
  where.kind = OptionKind::kExpr;
  where.required = true;
  where.doc = "A condition over the input's columns; null counts as false.";
  d.options = {where};
  d.inputs_max = 64;
  d.make_operator = MakeFilter;
  return d;
}

}  // namespace freshet
