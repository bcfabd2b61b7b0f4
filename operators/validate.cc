#include "operators/validate.h"

#include <algorithm>

#include "engine/batch/column_builder.h"
#include "operators/binding.h"

namespace freshet {
namespace {

struct Rule {
  std::string name;
  BoundExpr condition;
};

class Validate final : public Operator {
 public:
  Validate(std::vector<Rule> rules, SchemaRef rejected)
      : rules_(std::move(rules)), rejected_schema_(std::move(rejected)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    kept_count_.assign(static_cast<size_t>(in.physical_row_count()), 0);
    std::vector<Selection> kept_by;
    for (const Rule& rule : rules_) {
      kept_by.push_back(rule.condition.Filter(in));
      const Selection& kept = kept_by.back();
      for (int32_t i = 0; i < kept.count; ++i) ++kept_count_[static_cast<size_t>(kept.indices.as<int32_t>()[i])];
    }
    BufferRef good = AllocateBuffer(int64_t{4} * in.row_count());
    int32_t good_count = 0;
    bad_.clear();
    for (int32_t i = 0; i < in.row_count(); ++i) {
      const int32_t row = in.has_selection() ? in.selection().indices.as<int32_t>()[i] : i;
      if (kept_count_[static_cast<size_t>(row)] == rules_.size())
        good.as<int32_t>()[good_count++] = row;
      else
        bad_.push_back(row);
    }
    if (bad_.empty()) {
      out.Emit(in);
      return Status::Ok();
    }
    if (good_count > 0) out.Emit(in.WithSelection({std::move(good), good_count}));
    counters_->rejected += static_cast<int64_t>(bad_.size());
    out.Emit(
        in.Take(bad_.data(), static_cast<int32_t>(bad_.size())).WithAppended(rejected_schema_, {FailedRules(kept_by)}),
        1);
    return Status::Ok();
  }

 private:
  /// For each bad row the names of the rules whose selections lack it. Both lists ascend, so one pass per rule does.
  Column FailedRules(const std::vector<Selection>& kept_by) const {
    std::vector<std::string> names(bad_.size());
    for (size_t r = 0; r < rules_.size(); ++r) {
      const int32_t* at = kept_by[r].indices ? kept_by[r].indices.as<int32_t>() : nullptr;
      const int32_t* end = at + kept_by[r].count;
      for (size_t i = 0; i < bad_.size(); ++i) {
        while (at != end && *at < bad_[i]) ++at;
        if (at != end && *at == bad_[i]) continue;
        if (!names[i].empty()) names[i] += ',';
        names[i] += rules_[r].name;
      }
    }
    ColumnBuilder builder(TypeId::kString, static_cast<int32_t>(names.size()));
    for (const std::string& n : names) builder.AppendString(n);
    return builder.Finish();
  }

  const std::vector<Rule> rules_;
  const SchemaRef rejected_schema_;
  std::vector<uint32_t> kept_count_;
  std::vector<int32_t> bad_;
  NodeCounters* counters_ = nullptr;
};

std::optional<BoundOperator> MakeValidate(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  BoundOperator bound;
  std::vector<Rule> rules;
  bool ok = true;
  for (const auto& [name, text] : options.GetMap("rules")) {
    auto condition = BindCondition(text, *input, bind.diagnostics);
    if (!condition) {
      ok = false;
      continue;
    }
    AddColumnsRead(*condition, *input, &bound.columns_read);
    bound.explain.emplace_back(name.value, condition->ToString());
    rules.push_back({name.value, std::move(*condition)});
  }
  if (ok && rules.empty() && options.Has("rules")) {
    bind.diagnostics->Error("FR3221", options.span("rules"), "`rules` is empty", "write `name: condition` lines");
    ok = false;
  }
  if (!ok || rules.empty()) return std::nullopt;
  auto rejected = std::make_shared<const Schema>(input->With({{FreeName(*input, "failed_rules"), TypeId::kString}}));
  bound.outputs = {{"", std::make_shared<const Schema>(*input), OutputOrder::kInputOrder, {}},
                   {"rejected", rejected, OutputOrder::kInputOrder, {}}};
  bound.stateless = true;
  bound.accepts_selection = true;
  bound.instantiate = [rules, rejected] { return std::make_unique<Validate>(rules, rejected); };
  return bound;
}

}  // namespace

NodeDescriptor ValidateDescriptor() {
  NodeDescriptor d;
  d.type = "validate";
  d.summary = "passes rows that keep all rules; the others go to `rejected`";
  d.doc =
      "Each rule is a condition. A row for which one of them is false or null leaves on the output `rejected`, with "
      "the\n"
      "column `failed_rules`: the names of the broken rules, joined by commas, in the order of the file.";
  d.example =
      "clean:\n  type: validate\n  inputs: [snapshots]\n  rules:\n    views: views >= 0\n    video_id: "
      "length(video_id) = 11";
  OptionSpec rules;
  rules.name = "rules";
  rules.kind = OptionKind::kExprMap;
  rules.required = true;
  rules.doc = "`name: condition` lines. Null breaks a rule.";
  d.options = {rules};
  d.inputs_max = 64;
  d.output_names = {"rejected"};
  d.make_operator = MakeValidate;
  return d;
}

}  // namespace freshet
