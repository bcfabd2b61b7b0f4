#include "operators/notify.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>

#include "engine/base/signed_link.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "operators/alert/alert_rows.h"
#include "operators/alert/notice_budget.h"
#include "operators/anomaly/alarm_budget.h"
#include "operators/binding.h"
#include "operators/kept_rows.h"
#include "operators/key_deadlines.h"
#include "operators/outlier/severity.h"

namespace freshet {
namespace {

struct NotifyPlan {
  AlertColumns at;
  bool grouped = false;
  KeyCodec group_by;
  NoticeGroupOptions group;
  std::optional<NoticeBudgetOptions> budget;
  SchemaRef input;
  SchemaRef output;
  std::vector<bool> only_firing;  ///< per input column: it tells of the alert as it fired
  RowLayout layout;               ///< of "groups"
};

using GroupCell = KeepingCell<NoticeGroup>;
struct HeldBackCell {
  void Encode(ByteSink&) const {}
  bool Decode(ByteSource&, uint16_t) { return true; }
};

class Notify final : public Operator {
 public:
  explicit Notify(std::shared_ptr<const NotifyPlan> plan) : plan_(std::move(plan)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_RETURN_IF_ERROR(OpenKept(ctx.state(), "groups", plan_->layout, &groups_,
                                     [&](const std::string& key, const NoticeGroup& group) { Schedule(key, group); }));
    FRESHET_ASSIGN_OR_RETURN(budget_, ctx.state().OpenKeyed<BudgetCell>("budget", {1, "budget"}));
    FRESHET_ASSIGN_OR_RETURN(held_back_, ctx.state().OpenKeyed<HeldBackCell>("held_back", {1, "alert_id", true}));
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    counters_->absorbed += in.row_count();
    FRESHET_RETURN_IF_ERROR(LoadFor(in));
    for (int32_t row = 0; row < in.row_count(); ++row) {
      if (!plan_->grouped) {
        One(in, row);
        continue;
      }
      // What fires at a deadline belongs to it.
      FRESHET_RETURN_IF_ERROR(Advance(in.time(row).us));
      FRESHET_RETURN_IF_ERROR(Member(in, row));
    }
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    FRESHET_RETURN_IF_ERROR(Advance(now.us));
    return EmitKeptRows(
        &pending_, row_count_max_, plan_->input, plan_->output, out,
        [&](const Pending& p, const Batch& row, std::vector<ColumnBuilder>& columns) { Append(p, row, columns); });
  }

 private:
  struct Pending {
    int64_t time_us;
    std::string row_bytes;
    std::optional<Notice> notice;  ///< what replaces the row's own; none: it leaves as it came
    bool firing;
  };

  /// What the rows ask for: their groups, or, without groups, whether they were held back.
  Status LoadFor(const Batch& in) {
    if (plan_->grouped) {
      keys_.Encode(plan_->group_by, in);
      return groups_->LoadMissing(keys_, in.physical_row_count());
    }
    if (!held_back_->has_evicted()) return Status::Ok();
    std::vector<std::string> ids;
    for (int32_t row = 0; row < in.row_count(); ++row) ids.push_back(plan_->at.MemberOf(in, row).id);
    return held_back_->LoadMissing({ids.begin(), ids.end()});
  }

  bool Affordable(int64_t time_us, uint8_t severity, std::optional<double> peak) {
    if (!plan_->budget) return true;
    BudgetCell& cell = budget_->FindOrCreate(HashKey(""), "");
    cell.options = *plan_->budget;
    return cell.budget.Pass(time_us, {severity, peak.value_or(0)}, cell.options);
  }

  /// Without groups: a row by itself.
  void One(const Batch& in, int32_t row) {
    const NoticeMember member = plan_->at.MemberOf(in, row);
    const bool firing = plan_->at.IsFiring(in, row);
    if (firing && !Affordable(member.fired_us, member.severity, member.peak)) {
      held_back_->FindOrCreate(HashKey(member.id), member.id);
      return;
    }
    if (!firing && held_back_->Find(HashKey(member.id), member.id) != nullptr) {
      held_back_->Erase(HashKey(member.id), member.id);
      return;
    }
    pending_.push_back({in.time(row).us, KeptRowBytes(in, row), std::nullopt, firing});
  }

  Status Member(const Batch& in, int32_t row) {
    const std::string key(keys_.key(row));
    GroupCell& cell = groups_->FindOrCreate(keys_.hash(row), key);
    NoticeMember member = plan_->at.MemberOf(in, row);
    const int64_t now_us = in.time(row).us;
    if (plan_->at.IsFiring(in, row)) {
      member.row_bytes = KeptRowBytes(in, row);
      cell.value.OnFiring(std::move(member), plan_->group);
    } else {
      const Column& ended = in.column(plan_->at.ended_at);
      auto over = cell.value.OnResolved(member, ended.IsValid(row) ? ended.int64s()[row] : now_us);
      if (over && !over->held_back) {
        std::string bytes = over->lead.row_bytes;
        pending_.push_back({now_us, std::move(bytes), std::move(over), false});
      }
    }
    Settle(key, cell.value, now_us);
    return Status::Ok();
  }

  /// Notices due before `now_us`, in the order of their times, then groups.
  Status Advance(int64_t now_us) {
    while (deadlines_.AnyBefore(now_us)) {
      FRESHET_RETURN_IF_ERROR(deadlines_.Bring(groups_, now_us, row_count_max_));
      const auto [at, key] = deadlines_.first();
      GroupCell& cell = groups_->FindOrCreate(HashKey(key), key);
      if (cell.value.Deadline() == at) {
        Notice& notice = cell.value.OnTime(at);
        notice.held_back = !Affordable(at, notice.severity, notice.peak);
        if (!notice.held_back) pending_.push_back({at, notice.lead.row_bytes, notice, true});
      }
      Settle(key, cell.value, at);
    }
    return Status::Ok();
  }

  void Settle(const std::string& key, const NoticeGroup& group, int64_t now_us) {
    if (group.empty(now_us, plan_->group)) {
      deadlines_.Set(key, std::nullopt);
      groups_->Erase(HashKey(key), key);
      return;
    }
    Schedule(key, group);
  }
  void Schedule(const std::string& key, const NoticeGroup& group) { deadlines_.Set(key, group.Wakes(plan_->group)); }

  void Append(const Pending& p, const Batch& row, std::vector<ColumnBuilder>& columns) const {
    const AlertColumns& at = plan_->at;
    for (int c = 0; c < plan_->input->size(); ++c) {
      ColumnBuilder& column = columns[static_cast<size_t>(c)];
      if (!p.notice) {
        column.AppendFrom(row.column(c), 0);
      } else if (!p.firing && plan_->only_firing[static_cast<size_t>(c)]) {
        column.AppendNull();
      } else if (c == at.state) {
        column.AppendString(p.firing ? "firing" : "resolved");
      } else if (c == at.severity) {
        column.AppendString(SeverityName(static_cast<Severity>(std::max<uint8_t>(p.notice->severity, 1))));
      } else if (c == at.started_at) {
        column.AppendInt64(p.notice->started_us);
      } else if (c == at.peaked_at) {
        column.AppendInt64(p.notice->peaked_us);
      } else if (c == at.peak && p.notice->peak) {
        column.AppendFloat64(*p.notice->peak);
      } else if (c == at.ended_at && !p.firing) {
        column.AppendInt64(p.notice->ended_us);
      } else if (c == at.message) {
        column.AppendString(p.notice->lead.message);
      } else {
        column.AppendFrom(row.column(c), 0);
      }
    }
    if (plan_->grouped) columns.back().AppendInt64(p.notice ? p.notice->count : 1);
  }

  const std::shared_ptr<const NotifyPlan> plan_;
  KeyedTable<GroupCell>* groups_ = nullptr;
  KeyedTable<BudgetCell>* budget_ = nullptr;
  KeyedTable<HeldBackCell>* held_back_ = nullptr;
  EncodedKeys keys_;
  KeyDeadlines deadlines_;
  std::deque<Pending> pending_;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<NotifyPlan>();
  plan->input = std::make_shared<const Schema>(*input);
  std::string missing;
  const auto at = AlertColumns::Find(*input, &missing);
  if (!at) {
    bind.diagnostics->Error("FR3411", bind.node_span, "the input has no column `" + missing + "` of an alert",
                            "read from an `alert`; steps between must keep its columns");
    return std::nullopt;
  }
  plan->at = *at;
  plan->grouped = !options.GetList("group_by").empty();
  const auto key = FindKey(*input, options, "group_by", bind.diagnostics);
  if (!key) return std::nullopt;
  if (const auto text = options.FindString("budget")) {
    const auto parsed = ParseAlarmBudget(*text);
    if (!parsed || parsed->alarms < 1) {
      bind.diagnostics->Error("FR3412", options.span("budget"), "`" + *text + "` is no budget of notices",
                              "write a whole number of them an hour, a day or a week, such as `5/day`");
      return std::nullopt;
    }
    plan->budget = {static_cast<int64_t>(parsed->alarms), parsed->period_us};
  }
  plan->group_by = KeyCodec(*input, *key);
  plan->group = {options.GetDuration("group_wait").us, options.GetDuration("group_interval").us};
  plan->output = plan->input;
  if (plan->grouped)
    plan->output = std::make_shared<const Schema>(input->With({{FreeName(*input, "alerts"), TypeId::kInt64}}));
  std::string names;
  for (const int c : *key) names += (names.empty() ? "" : ", ") + input->field(c).name;
  std::set<std::string> only_firing = {"alert_text", "severity_reason"};
  for (const AlertLinkSpan& span : kAlertLinkSpans) only_firing.insert(span.column);
  for (const Field& field : input->fields()) plan->only_firing.push_back(only_firing.count(field.name) > 0);
  plan->layout = {"row: ", {plan->input}, "; group by: " + names};

  BoundOperator bound;
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, {}},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.outputs[0].alert_rows = std::count(bind.alert_inputs.begin(), bind.alert_inputs.end(), false) == 0;
  bound.node_class = NodeClass::kStateful;
  bound.input_order = InputOrder::kByEventTime;
  for (const int c :
       {at->alert_id, at->state, at->severity, at->started_at, at->peaked_at, at->peak, at->ended_at, at->message})
    AddName(input->field(c).name, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  if (plan->grouped) bound.explain.emplace_back("group_by", names);
  if (plan->budget) bound.explain.emplace_back("budget", *options.FindString("budget"));
  bound.instantiate = [plan = std::shared_ptr<const NotifyPlan>(plan)] { return std::make_unique<Notify>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor NotifyDescriptor() {
  NodeDescriptor d;
  d.type = "notify";
  d.kind = NodeKind::kOperator;
  d.summary = "Decides which alerts leave, and which leave as one";
  d.doc =
      "Reads an `alert` (several of one schema, too). With `group_by` alerts of equal values become one notice: "
      "`group_wait` after the first\n"
      "began to fire, and not before `group_interval` after the group's last notice. It tells of those that still fire "
      "then, has the alert_id and\n"
      "columns of the first, the worst severity and peak, and resolves when the last of them does. What fires later is "
      "told by the next notice.\n"
      "With `budget` no stretch of an hour, a day or a week has more notices than that, and they go to what matters "
      "most: "
      "severity first, then\n"
      "the magnitude of the peak. Critical ones always leave. Of an alert that was held back the end is not told "
      "either. "
      "Event time throughout.";
  d.example =
      "told:\n  type: notify\n  inputs: [slow_pages]\n  group_by: [service]\n  group_wait: 1m\n  budget: 5/day\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  const auto option = [&](const char* name, OptionKind kind, const char* doc, const char* fallback = "") {
    OptionSpec spec;
    spec.name = name;
    spec.kind = kind;
    spec.doc = doc;
    spec.default_text = fallback;
    if (kind == OptionKind::kDuration) spec.min = 0;
    d.options.push_back(std::move(spec));
  };
  option("group_by", OptionKind::kNameList,
         "Alerts with equal values of these columns are told together; `[rule]`: all.");
  d.options.back().state = StateEffect::kBreaking;
  option("group_wait", OptionKind::kDuration, "How long a notice waits for more alerts of its group (event time).",
         "30s");
  option("group_interval", OptionKind::kDuration,
         "How long after a group's notice the next one leaves at the earliest (event time).", "5m");
  option("budget", OptionKind::kString, "How many notices may leave: `N/hour`, `N/day` or `N/week`.");
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
