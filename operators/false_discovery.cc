#include "operators/false_discovery.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <numeric>

#include "engine/batch/batch_codec.h"
#include "operators/binding.h"
#include "operators/detector_columns.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;

struct FalseDiscoveryPlan {
  BoundExpr p_value;
  double rate = 0.05;
  SchemaRef input;
  SchemaRef output;
};

/// q-values of one moment's p-values, in place; NaN stays.
void ToQValues(std::vector<double>::iterator begin, std::vector<double>::iterator end) {
  std::vector<std::vector<double>::iterator> order;
  for (auto p = begin; p != end; ++p)
    if (!std::isnan(*p)) order.push_back(p);
  std::sort(order.begin(), order.end(), [](auto a, auto b) { return *a < *b; });
  double least = 1;
  for (size_t rank = order.size(); rank > 0; --rank) {
    double& p = *order[rank - 1];
    least = std::min(least, p * static_cast<double>(order.size()) / static_cast<double>(rank));
    p = least;
  }
}

class FalseDiscovery final : public Operator {
 public:
  explicit FalseDiscovery(std::shared_ptr<const FalseDiscoveryPlan> plan) : plan_(std::move(plan)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    if (ctx.state().extra().empty()) return Status::Ok();
    ByteSource source(ctx.state().extra());
    if (source.GetU8() != kCodec) return Status::DataLoss("false_discovery: unknown codec");
    if (source.GetString() != plan_->input->ToString())
      return Status::InvalidArgument(
          "rows kept in the state have other columns; undo the change or start over with --fresh");
    for (uint64_t n = source.GetVarint(); n > 0; --n) {
      if (!source.ok() || !DecodeBatch(source, plan_->input, &held_.emplace_back()) || held_.back().empty())
        return Status::DataLoss("false_discovery: the snapshot is torn");
      counters_->held += held_.back().row_count();
    }
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    if (!in.has_times()) return Status::Internal("`false_discovery` got rows without event time");
    counters_->held += in.row_count();
    held_.push_back(in.Detached());
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    if (ready_.empty()) Judge(now);
    if (ready_.empty()) return Progress::kDone;
    counters_->held -= ready_.front().row_count();
    out.Emit(std::move(ready_.front()));
    ready_.pop_front();
    return ready_.empty() ? Progress::kDone : Progress::kMore;
  }

  Status SnapshotExtra(ByteSink& sink) override {
    sink.PutU8(kCodec);
    sink.PutString(plan_->input->ToString());
    sink.PutVarint(held_.size());
    for (const Batch& b : held_) EncodeBatch(b, sink);
    return Status::Ok();
  }

 private:
  /// Moves the rows of moments before `now` from held_ to ready_.
  void Judge(EventTime now) {
    std::vector<Batch> complete;
    while (!held_.empty() && held_.front().time(0) < now) {
      const Batch batch = held_.front();
      held_.pop_front();
      int32_t count = batch.row_count();
      while (batch.time(count - 1) >= now) --count;
      complete.push_back(batch.Slice(0, count));
      if (count == batch.row_count()) continue;
      held_.push_front(batch.Slice(count, batch.row_count() - count));
      break;
    }
    std::vector<double> values;
    std::vector<int64_t> times;
    for (const Batch& batch : complete) {
      const Column p = plan_->p_value.Evaluate(batch, &counters_->nulled);
      for (int32_t row = 0; row < batch.row_count(); ++row) {
        values.push_back(NumberAt(p, row));
        times.push_back(batch.time(row).us);
      }
    }
    for (size_t from = 0, to = 0; from < times.size(); from = to) {
      while (to < times.size() && times[to] == times[from]) ++to;
      ToQValues(values.begin() + static_cast<ptrdiff_t>(from), values.begin() + static_cast<ptrdiff_t>(to));
    }
    size_t at = 0;
    for (const Batch& batch : complete) {
      ColumnBuilder q(TypeId::kFloat64, batch.row_count()), found(TypeId::kBool, batch.row_count());
      for (int32_t row = 0; row < batch.row_count(); ++row, ++at) {
        if (std::isnan(values[at]))
          q.AppendNull();
        else
          q.AppendFloat64(values[at]);
        found.AppendBool(values[at] <= plan_->rate);
      }
      ready_.push_back(batch.WithAppended(plan_->output, {q.Finish(), found.Finish()}));
    }
  }

  const std::shared_ptr<const FalseDiscoveryPlan> plan_;
  std::deque<Batch> held_;   // by event time
  std::deque<Batch> ready_;  // empty at barriers
  NodeCounters* counters_ = nullptr;
};

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<FalseDiscoveryPlan>();
  const auto p_value = BindNumber(*options.FindExpr("p_value"), *input, bind, "FR3505", "`p_value`");
  const std::string prefix = options.FindString("as").value_or("");
  std::vector<Field> fields;
  for (const auto& [name, type] : {std::pair("q_value", TypeId::kFloat64), std::pair("is_discovery", TypeId::kBool)}) {
    fields.push_back({prefix.empty() ? name : prefix + "_" + name, type});
    if (!input->Find(fields.back().name)) continue;
    bind.diagnostics->Error("FR3501", bind.node_span, "the input already has a column `" + fields.back().name + "`",
                            "give the columns another prefix, for example `as: " + bind.node_id + "`");
    return std::nullopt;
  }
  if (!p_value) return std::nullopt;
  plan->p_value = *p_value;
  plan->rate = options.GetFloat("rate");
  plan->input = std::make_shared<const Schema>(*input);
  plan->output = std::make_shared<const Schema>(input->With(fields));
  BoundOperator bound;
  bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.input_order = InputOrder::kByEventTime;
  bound.judges_moments = true;
  AddColumnsRead(*p_value, *input, &bound.columns_read);
  bound.outputs[0].method =
      bind.input_method + (bind.input_method.empty() ? "" : "; ") + "false_discovery (Benjamini–Hochberg)";
  bound.explain = {{"p_value", p_value->ToString()}};
  bound.instantiate = [plan] { return std::make_unique<FalseDiscovery>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor FalseDiscoveryDescriptor() {
  NodeDescriptor d;
  d.type = "false_discovery";
  d.kind = NodeKind::kOperator;
  d.summary = "Among the p-values of many keys at one moment, says which to believe";
  d.doc =
      "A thousand keys that are each watched at p < 0.001 cry once every time. This step looks at all rows of one "
      "event "
      "time together, as windows\n"
      "give one row per key, and keeps the share of false ones among what it lets through at `rate` on average "
      "(Benjamini and Hochberg 1995).\n"
      "Adds q_value (the smallest `rate` at which the row would pass; null without a p-value) and is_discovery "
      "(q_value <= rate). Rows leave once\n"
      "the watermark has passed their event time, in its order; late ones, and those of an input that has grown whose "
      "moment the end "
      "has judged, leave on `ID.late`. One lane.";
  d.example = "believed:\n  type: false_discovery\n  inputs: [odd]\n  rate: 0.05\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(
      DetectorOption("p_value", OptionKind::kExpr, "The p-values, 0 to 1.", "p_value", StateEffect::kNone));
  d.options.push_back(DetectorOption(
      "rate", OptionKind::kFloat, "How many of the discoveries may be false, as a share.", "0.05", StateEffect::kNone));
  d.options.back().min = 0;
  d.options.back().max = 1;
  d.options.push_back(DetectorOption("as", OptionKind::kString, "Prefix of the added columns, as in PREFIX_q_value.",
                                     "", StateEffect::kNone));
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
