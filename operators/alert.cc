#include "operators/alert.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>

#include "engine/base/units.h"
#include "engine/batch/batch_codec.h"
#include "operators/alert/episode.h"
#include "operators/alert/message_template.h"
#include "operators/binding.h"
#include "operators/outlier/severity.h"

namespace freshet {
namespace {

struct AlertPlan {
  std::string rule;
  std::string id_scope;  ///< pipeline and node, for ids
  BoundExpr when;
  BoundExpr severity;  ///< may be absent
  Severity fixed_severity = Severity::kMedium;
  BoundExpr value;  ///< may be absent
  std::optional<MessageTemplate> message;
  EpisodeOptions episode;
  KeyCodec key;
  std::vector<int> carried;  ///< input columns that follow the contract's
  SchemaRef input;
  SchemaRef output;
  std::string fingerprint;
};

/// One key: its episode, and the row that started it.
struct AlertCell {
  Episode episode;
  std::string row_bytes;  ///< one row of the input, encoded
  std::string message;
  void Encode(ByteSink& sink) const {
    episode.Encode(sink);
    sink.PutString(message);
    sink.PutString(row_bytes);
  }
  bool Decode(ByteSource& source, uint16_t) {
    if (!episode.Decode(source)) return false;
    message = source.GetString();
    row_bytes = source.GetString();
    return source.ok();
  }
};

uint8_t SeverityRank(std::string_view name) {
  for (const Severity s : {Severity::kLow, Severity::kMedium, Severity::kHigh, Severity::kCritical})
    if (name == SeverityName(s)) return static_cast<uint8_t>(s);
  return 0;
}

class Alert final : public Operator {
 public:
  explicit Alert(std::shared_ptr<const AlertPlan> plan) : plan_(std::move(plan)) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<AlertCell>("episodes", {1, plan_->fingerprint}));
    cells_->ForEach([&](std::string_view key, AlertCell& cell) { Schedule(std::string(key), cell.episode); });
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    keys_.Encode(plan_->key, in);
    const Column when = plan_->when.Evaluate(in, &counters_->nulled);
    const Column severity = plan_->severity ? plan_->severity.Evaluate(in) : Column();
    const Column value = plan_->value ? plan_->value.Evaluate(in) : Column();
    counters_->absorbed += in.row_count();
    for (int32_t row = 0; row < in.row_count(); ++row) {
      EpisodeInput input;
      input.time_us = in.time(row).us;
      input.condition = when.IsValid(row) && when.BoolAt(row);
      AlertCell* cell = cells_->Find(keys_.hash(row), keys_.key(row));
      if (cell == nullptr && !input.condition) continue;
      if (input.condition) {
        input.severity = static_cast<uint8_t>(plan_->fixed_severity);
        if (plan_->severity && severity.IsValid(row))
          input.severity = std::max<uint8_t>(SeverityRank(severity.StringAt(row)), 1);
        if (plan_->value && value.IsValid(row))
          input.value =
              value.type() == TypeId::kInt64 ? static_cast<double>(value.int64s()[row]) : value.float64s()[row];
      }
      Step(in, row, input);
    }
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    // Deadlines before `now` only: a row at `now` itself may still come, and deadlines of its time go first then.
    while (!deadlines_.empty() && deadlines_.begin()->first < now.us) {
      const auto [at, key] = *deadlines_.begin();
      AlertCell& cell = cells_->FindOrCreate(HashKey(key), key);
      if (const auto event = cell.episode.OnTime(at, plan_->episode)) Note(key, cell, *event);
      Settle(key, cell, at);
    }
    return Flush(out);
  }

 private:
  struct Pending {
    int64_t time_us;
    std::string key;
    bool firing;
    Episode episode;
    std::string row_bytes;
    std::string message;
  };

  void Step(const Batch& in, int32_t row, const EpisodeInput& input) {
    const std::string key(keys_.key(row));
    AlertCell& cell = cells_->FindOrCreate(keys_.hash(row), key);
    if (const auto event = cell.episode.OnTime(input.time_us, plan_->episode)) Note(key, cell, *event);
    bool started = false;
    const auto event = cell.episode.OnRow(input, plan_->episode, &started);
    if (started) {
      ByteSink sink;
      EncodeBatch(in.Slice(row, 1), sink);
      cell.row_bytes = sink.Take();
      cell.message = plan_->message ? plan_->message->Render(in, row) : std::string();
    }
    if (event) Note(key, cell, *event);
    Settle(key, cell, input.time_us);
  }

  /// After a change of a cell: its next deadline, or nothing to remember.
  void Settle(const std::string& key, AlertCell& cell, int64_t now_us) {
    if (cell.episode.Forgettable(now_us, plan_->episode)) {
      Unschedule(key);
      cells_->Erase(HashKey(key), key);
      return;
    }
    if (cell.episode.phase() == Episode::Phase::kIdle) {
      cell.row_bytes.clear();
      cell.message.clear();
    }
    Schedule(key, cell.episode);
  }
  void Schedule(const std::string& key, const Episode& episode) {
    Unschedule(key);
    if (const auto deadline = episode.Deadline(plan_->episode)) {
      deadlines_.emplace(*deadline, key);
      scheduled_[key] = *deadline;
    }
  }
  void Unschedule(const std::string& key) {
    const auto at = scheduled_.find(key);
    if (at == scheduled_.end()) return;
    deadlines_.erase({at->second, key});
    scheduled_.erase(at);
  }

  void Note(const std::string& key, const AlertCell& cell, const EpisodeEvent& event) {
    pending_.push_back({event.time_us, key, event.firing, cell.episode, cell.row_bytes, cell.message});
  }

  std::string AlertId(const std::string& key, int64_t started_us) const {
    ByteSink sink;
    sink.PutString(plan_->id_scope);
    sink.PutString(key);
    sink.PutI64(started_us);
    char text[20];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(HashBytes(sink.bytes())));
    return text;
  }

  Result<Progress> Flush(Emitter& out) {
    if (pending_.empty()) return Progress::kDone;
    std::stable_sort(pending_.begin(), pending_.end(), [](const Pending& a, const Pending& b) {
      return std::tie(a.time_us, a.key) < std::tie(b.time_us, b.key);
    });
    const auto count = static_cast<int32_t>(std::min<size_t>(pending_.size(), static_cast<size_t>(row_count_max_)));
    FRESHET_ASSIGN_OR_RETURN(Batch batch, Rows(count));
    pending_.erase(pending_.begin(), pending_.begin() + count);
    out.Emit(std::move(batch));
    return pending_.empty() ? Progress::kDone : Progress::kMore;
  }

  Result<Batch> Rows(int32_t count) {
    const Schema& schema = *plan_->output;
    std::vector<ColumnBuilder> columns;
    for (const Field& f : schema.fields()) columns.emplace_back(f.type, count);
    RowMeta meta;
    meta.times = AllocateBuffer(int64_t{8} * count);
    for (int32_t i = 0; i < count; ++i) {
      const Pending& p = pending_[static_cast<size_t>(i)];
      Batch start;
      ByteSource source(p.row_bytes);
      if (!DecodeBatch(source, plan_->input, &start) || start.empty())
        return Status::DataLoss("the row that started an alert cannot be read");
      size_t c = 0;
      columns[c++].AppendString(AlertId(p.key, p.episode.started_us()));
      columns[c++].AppendString(plan_->rule);
      for (const int k : plan_->key.columns()) columns[c++].AppendFrom(start.column(k), 0);
      columns[c++].AppendString(p.firing ? "firing" : "resolved");
      columns[c++].AppendString(SeverityName(static_cast<Severity>(std::max<uint8_t>(p.episode.severity(), 1))));
      columns[c++].AppendInt64(p.episode.started_us());
      columns[c++].AppendInt64(p.episode.peaked_us());
      if (p.episode.has_peak())
        columns[c].AppendFloat64(p.episode.peak());
      else
        columns[c].AppendNull();
      ++c;
      if (p.firing)
        columns[c].AppendNull();
      else
        columns[c].AppendInt64(p.episode.ended_us());
      ++c;
      columns[c++].AppendString(p.message);
      for (const int k : plan_->carried) columns[c++].AppendFrom(start.column(k), 0);
      meta.times.as<int64_t>()[i] = p.time_us;
    }
    meta.watermarks = meta.times;
    std::vector<Column> finished;
    for (ColumnBuilder& b : columns) finished.push_back(b.Finish());
    return Batch(plan_->output, std::move(finished), count, std::move(meta));
  }

  const std::shared_ptr<const AlertPlan> plan_;
  KeyedTable<AlertCell>* cells_ = nullptr;
  EncodedKeys keys_;
  std::set<std::pair<int64_t, std::string>> deadlines_;
  std::map<std::string, int64_t> scheduled_;
  std::vector<Pending> pending_;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

/// `severity`: one of the four words, or an expression that gives one; by default the input's own column of that name.
bool BindSeverity(const OptionsNode& options, const Schema& input, const BindContext& bind, AlertPlan* plan) {
  const std::optional<SpannedText> text = options.FindExpr("severity");
  if (!text) {
    const std::optional<int> column = input.Find("severity");
    if (!column || input.field(*column).type != TypeId::kString) return true;
    Diagnostics quiet;
    const auto parsed = ParsedExpr::Parse({"severity", {}, {}}, &quiet);
    if (auto bound = parsed ? BoundExpr::Bind(*parsed, input, &quiet) : std::nullopt) plan->severity = *bound;
    return true;
  }
  if (const uint8_t rank = SeverityRank(text->value); rank > 0) {
    plan->fixed_severity = static_cast<Severity>(rank);
    return true;
  }
  const auto parsed = ParsedExpr::Parse(*text, bind.diagnostics);
  if (!parsed) return false;
  BoundExpr::Options words;
  words.enum_values = {"low", "medium", "high", "critical"};
  auto bound = BoundExpr::Bind(*parsed, input, bind.diagnostics, words);
  if (!bound) return false;
  if (bound->type() != TypeId::kString) {
    bind.diagnostics->Error(
        "FR3403", text->span,
        "a severity is low, medium, high or critical; this expression gives " + std::string(TypeName(bound->type())));
    return false;
  }
  plan->severity = *bound;
  return true;
}

bool BindValue(const OptionsNode& options, const Schema& input, const BindContext& bind, AlertPlan* plan) {
  std::optional<SpannedText> text = options.FindExpr("peak");
  if (!text) {
    const std::optional<int> score = input.Find("score");
    if (!score || !IsNumeric(input.field(*score).type)) return true;
    text = SpannedText{"score", {}, {}};
  }
  const auto parsed = ParsedExpr::Parse(*text, bind.diagnostics);
  auto bound = parsed ? BoundExpr::Bind(*parsed, input, bind.diagnostics) : std::nullopt;
  if (!bound) return false;
  if (!IsNumeric(bound->type())) {
    bind.diagnostics->Error("FR3404", text->span,
                            "`peak` must be a number; this expression gives " + std::string(TypeName(bound->type())));
    return false;
  }
  plan->value = *bound;
  return true;
}

void MakeSchema(const Schema& input, AlertPlan* plan) {
  std::vector<Field> fields = {{"alert_id", TypeId::kString}, {"rule", TypeId::kString}};
  const std::vector<Field> own = {{"state", TypeId::kString},         {"severity", TypeId::kString},
                                  {"started_at", TypeId::kTimestamp}, {"peaked_at", TypeId::kTimestamp},
                                  {"peak", TypeId::kFloat64},         {"ended_at", TypeId::kTimestamp},
                                  {"message", TypeId::kString}};
  std::set<std::string> taken = {"alert_id", "rule"};
  for (const Field& f : own) taken.insert(f.name);
  const auto add = [&](Field field) {
    while (!taken.insert(field.name).second) field.name = "row_" + field.name;
    fields.push_back(std::move(field));
  };
  for (const int k : plan->key.columns()) add(input.field(k));
  fields.insert(fields.end(), own.begin(), own.end());
  for (int c = 0; c < input.size(); ++c) {
    if (std::find(plan->key.columns().begin(), plan->key.columns().end(), c) != plan->key.columns().end()) continue;
    add(input.field(c));
    plan->carried.push_back(c);
  }
  plan->output = std::make_shared<const Schema>(std::move(fields));
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<AlertPlan>();
  plan->rule = bind.node_id;
  plan->id_scope = bind.pipeline_name + "|" + bind.node_id;
  plan->input = std::make_shared<const Schema>(*input);
  const std::optional<SpannedText> when = options.FindExpr("when");
  if (!when) return std::nullopt;
  const auto condition = BindCondition(*when, *input, bind.diagnostics);
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  bool good = condition.has_value() && key.has_value();
  good = BindSeverity(options, *input, bind, plan.get()) && good;
  good = BindValue(options, *input, bind, plan.get()) && good;
  if (const auto message = options.FindExpr("message")) {
    plan->message = MessageTemplate::Parse(*message, *input, bind.diagnostics);
    good = plan->message.has_value() && good;
  }
  if (!good) return std::nullopt;
  plan->when = *condition;
  plan->key = KeyCodec(*input, *key);
  plan->episode = {options.GetDuration("for").us, options.GetDuration("keep_firing_for").us,
                   options.GetDuration("cooldown").us};
  MakeSchema(*input, plan.get());
  plan->fingerprint = "row: " + input->ToString() + "; key:";
  for (const TypeId type : plan->key.types()) plan->fingerprint += std::string(" ") + TypeName(type);

  BoundOperator bound;
  std::vector<int> key_columns;
  for (size_t i = 0; i < key->size(); ++i) key_columns.push_back(static_cast<int>(2 + i));
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, key_columns},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.outputs[0].alert_rows = true;
  bound.node_class = NodeClass::kStateful;
  bound.input_order = InputOrder::kByEventTime;
  if (!key->empty()) bound.key = *key;
  bound.passes_input_columns = true;
  AddColumnsRead(plan->when, *input, &bound.columns_read);
  if (plan->severity) AddColumnsRead(plan->severity, *input, &bound.columns_read);
  if (plan->value) AddColumnsRead(plan->value, *input, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  if (plan->message)
    for (const int c : plan->message->columns()) AddName(input->field(c).name, &bound.columns_read);
  bound.explain = {{"when", plan->when.ToString()}};
  if (options.GetDuration("for").us > 0) bound.explain.emplace_back("for", FormatDuration(options.GetDuration("for")));
  bound.instantiate = [plan] { return std::make_unique<Alert>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor AlertDescriptor() {
  NodeDescriptor d;
  d.type = "alert";
  d.kind = NodeKind::kOperator;
  d.summary = "Turns a condition into episodes: one row when it starts firing, one when it resolves";
  d.doc =
      "Watches `when` for each `key`. An episode starts at the first row for which it is true, fires once it has held "
      "for `for`, and resolves at\n"
      "the first row for which it is false (or null), or once it has been false for `keep_firing_for`. Both moments "
      "give a row with the same\n"
      "alert_id, which is equal on every replay. Severity and peak are the worst seen so far in the episode.\n"
      "Rows are taken by event time; late ones leave on `ID.late`. Input columns follow the alert's own; where a name "
      "is taken it gets `row_`. At the\n"
      "end of a bounded input `for` and `keep_firing_for` count as passed.";
  d.example =
      "surges:\n  type: alert\n  inputs: [odd]\n  when: is_anomaly\n  key: [video_id]\n  for: 10m\n  cooldown: 1h\n  "
      "message: \"{video_id}: {views} views\"\n";
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
  option("when", OptionKind::kExpr, "The condition, a bool expression; null counts as false.");
  d.options.back().required = true;
  option("key", OptionKind::kNameList,
         "One episode at a time for each value of these columns; without it one for the whole stream.");
  d.options.back().state = StateEffect::kBreaking;
  option(
      "severity", OptionKind::kExpr,
      "low, medium, high or critical, or an expression that gives one; default: the input's `severity`, else medium.");
  d.options.back().enum_values = {"low", "medium", "high", "critical"};
  option("for", OptionKind::kDuration, "How long the condition must hold before the alert fires (event time).", "0s");
  option("keep_firing_for", OptionKind::kDuration,
         "How long the condition must be false before the alert resolves (event time).", "0s");
  option("cooldown", OptionKind::kDuration,
         "After an episode ended, how long no other starts for that key (event time).", "0s");
  option("peak", OptionKind::kExpr,
         "A number whose largest magnitude in the episode is its peak; default: the input's `score`.");
  option("message", OptionKind::kExpr,
         "Text for people with columns of the starting row in braces: \"{video_id}: {score:.2f}\".");
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
