#include "operators/inhibit.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "engine/batch/column_builder.h"
#include "operators/alert/alert_rows.h"
#include "operators/alert/inhibition.h"
#include "operators/binding.h"
#include "operators/kept_rows.h"
#include "operators/key_deadlines.h"

namespace freshet {
namespace {

struct InhibitPlan {
  std::vector<AlertColumns> at;  ///< per input
  std::vector<KeyCodec> equal;   ///< per input
  SchemaRef output;              ///< of the first input
  RowLayout layout;              ///< of "labels"
};

using LabelsCell = KeepingCell<Inhibition>;

class Inhibit final : public Operator {
 public:
  explicit Inhibit(std::shared_ptr<const InhibitPlan> plan) : plan_(std::move(plan)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    return OpenKept(ctx.state(), "labels", plan_->layout, &cells_,
                    [&](const std::string& key, const Inhibition& inhibition) { Schedule(key, inhibition); });
  }

  Status ProcessBatch(InputIndex input, const Batch& in, Emitter&) override {
    const auto i = static_cast<size_t>(input);
    counters_->absorbed += in.row_count();
    keys_.Encode(plan_->equal[i], in);
    FRESHET_RETURN_IF_ERROR(cells_->LoadMissing(keys_, in.physical_row_count()));
    for (int32_t row = 0; row < in.row_count(); ++row) {
      Inhibition::Event event;
      event.time_us = in.time(row).us;
      event.input = static_cast<uint32_t>(input);
      event.firing = plan_->at[i].IsFiring(in, row);
      event.id = plan_->at[i].MemberOf(in, row).id;
      if (input == 0) event.row_bytes = KeptRowBytes(in, row);
      const std::string key(keys_.key(row));
      LabelsCell& cell = cells_->FindOrCreate(keys_.hash(row), key);
      cell.value.Add(std::move(event));
      Schedule(key, cell.value);
    }
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    std::vector<Inhibition::Leaving> leaving;
    while (due_.AnyBefore(now.us)) {
      FRESHET_RETURN_IF_ERROR(due_.Bring(cells_, now.us, row_count_max_));
      const std::string key = due_.first().second;
      LabelsCell& cell = cells_->FindOrCreate(HashKey(key), key);
      leaving.clear();
      cell.value.Advance(now.us, &leaving);
      for (Inhibition::Leaving& l : leaving) pending_.push_back({l.time_us, key, std::move(l.row_bytes)});
      Schedule(key, cell.value);
      if (cell.value.empty()) cells_->Erase(HashKey(key), key);
    }
    std::stable_sort(pending_.begin(), pending_.end(), [](const Pending& a, const Pending& b) {
      return std::tie(a.time_us, a.key) < std::tie(b.time_us, b.key);
    });
    return EmitKeptRows(&pending_, row_count_max_, plan_->output, plan_->output, out,
                        [](const Pending&, const Batch& row, std::vector<ColumnBuilder>& columns) {
                          for (size_t c = 0; c < columns.size(); ++c)
                            columns[c].AppendFrom(row.column(static_cast<int>(c)), 0);
                        });
  }

 private:
  struct Pending {
    int64_t time_us;
    std::string key;
    std::string row_bytes;
  };

  void Schedule(const std::string& key, const Inhibition& inhibition) {
    const int64_t next = inhibition.NextTime();
    due_.Set(key, next < INT64_MAX ? std::optional(next) : std::nullopt);
  }

  const std::shared_ptr<const InhibitPlan> plan_;
  KeyedTable<LabelsCell>* cells_ = nullptr;
  EncodedKeys keys_;
  KeyDeadlines due_;
  std::vector<Pending> pending_;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  if (bind.inputs.size() < 2) {
    bind.diagnostics->Error("FR3413", bind.node_span, "an alert, and at least one that inhibits it, are needed",
                            "write `inputs: [the_alert, the_inhibitor]`");
    return std::nullopt;
  }
  auto plan = std::make_shared<InhibitPlan>();
  std::vector<std::vector<int>> keys;
  for (size_t i = 0; i < bind.inputs.size(); ++i) {
    std::string missing;
    const auto at = AlertColumns::Find(*bind.inputs[i], &missing);
    if (!at) {
      bind.diagnostics->Error("FR3411", bind.node_span,
                              "`" + bind.input_names[i] + "` has no column `" + missing + "` of an alert",
                              "read from alerts only; steps between must keep their columns");
      return std::nullopt;
    }
    const auto key = FindKey(*bind.inputs[i], options, "equal", bind.diagnostics);
    if (!key || key->empty()) return std::nullopt;  // an empty one is reported with the options
    for (size_t k = 0; i > 0 && k < key->size(); ++k) {
      const Field &mine = bind.inputs[0]->field(keys[0][k]), &other = bind.inputs[i]->field((*key)[k]);
      if (mine.type == other.type) continue;
      bind.diagnostics->Error("FR3414", options.span("equal"),
                              "`" + mine.name + "` is " + TypeName(mine.type) + " in `" + bind.input_names[0] +
                                  "` and " + TypeName(other.type) + " in `" + bind.input_names[i] + "`");
      return std::nullopt;
    }
    plan->at.push_back(*at);
    plan->equal.emplace_back(*bind.inputs[i], *key);
    keys.push_back(*key);
  }
  plan->output = std::make_shared<const Schema>(*bind.inputs[0]);
  std::string names;
  for (const int k : keys[0]) names += (names.empty() ? "" : ", ") + bind.inputs[0]->field(k).name;
  plan->layout = {"row: ", {plan->output}, "; equal: " + names};

  BoundOperator bound;
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, keys[0]}};
  bound.outputs[0].alert_rows = std::count(bind.alert_inputs.begin(), bind.alert_inputs.end(), false) == 0;
  bound.node_class = NodeClass::kStateful;
  bound.key = keys[0];
  bound.input_keys = keys;
  for (const char* name : {"alert_id", "state", "severity", "started_at", "peaked_at", "peak", "ended_at", "message"})
    AddName(name, &bound.columns_read);
  for (const int k : keys[0]) AddName(bind.inputs[0]->field(k).name, &bound.columns_read);
  std::string others;
  for (size_t i = 1; i < bind.input_names.size(); ++i) others += (i == 1 ? "" : ", ") + bind.input_names[i];
  bound.explain = {{"holds back", bind.input_names[0] + " while " + others + " fires"}, {"equal", names}};
  bound.instantiate = [plan = std::shared_ptr<const InhibitPlan>(plan)] { return std::make_unique<Inhibit>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor InhibitDescriptor() {
  NodeDescriptor d;
  d.type = "inhibit";
  d.kind = NodeKind::kOperator;
  d.summary = "Holds an alert back while another one with equal labels fires";
  d.doc =
      "The first input is the alert that may be held back; while one of the other inputs fires with equal values of "
      "`equal`, it is not told. What\n"
      "still fires when the last of them is over is told then; what resolved before is never told. What was told "
      "before "
      "is told as resolved whenever\n"
      "that happens. Of things at one moment the others come first. Event time throughout.";
  d.example = "pages:\n  type: inhibit\n  inputs: [slow_pages, site_down]\n  equal: [service]\n";
  d.inputs_max = 16;
  OptionSpec equal;
  equal.name = "equal";
  equal.kind = OptionKind::kNameList;
  equal.doc = "Columns that all inputs have: alerts with equal values of them belong together.";
  equal.required = true;
  equal.state = StateEffect::kBreaking;
  d.options = {std::move(equal)};
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
