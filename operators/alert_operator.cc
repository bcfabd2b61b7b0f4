#include "operators/alert_operator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine/base/signed_link.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/command.h"
#include "engine/state/table_numbers.h"
#include "engine/state/table_scan.h"
#include "operators/alert/alert_command.h"
#include "operators/alert/alert_rows.h"
#include "operators/kept_rows.h"
#include "operators/key_deadlines.h"

namespace freshet {
namespace {

std::optional<double> NumberAt(const Column& column, int32_t row) {
  if (column.length() == 0 || column.IsNull(row)) return std::nullopt;
  return column.type() == TypeId::kInt64 ? static_cast<double>(column.int64s()[row]) : column.float64s()[row];
}

/// The plan's expressions over one batch.
struct Evaluated {
  Column when, clear, value, severity, peak, surprise, shown;

  Evaluated(const AlertPlan& plan, const Batch& in, int64_t* nulled) {
    if (plan.when) when = plan.when.Evaluate(in, nulled);
    if (plan.clear_when) clear = plan.clear_when.Evaluate(in);
    if (plan.value) value = plan.value.Evaluate(in);
    if (plan.severity) severity = plan.severity.Evaluate(in);
    if (plan.peak) peak = plan.peak.Evaluate(in);
    if (plan.surprise) surprise = plan.surprise.Evaluate(in);
    if (plan.sparkline) shown = plan.sparkline.Evaluate(in);
  }

  /// Without the key's own: `factor` makes the thresholds harder.
  AlertInput Of(const AlertPlan& plan, const Batch& in, int32_t row, double factor) const {
    AlertInput out;
    out.episode = At(plan, in, row, factor);
    if (!plan.threshold) out.surprise = SurpriseAt(plan, in, row);
    if (plan.sparkline) out.shown = NumberAt(shown, row).value_or(NAN);
    return out;
  }

 private:
  /// What a row says; `factor` makes the thresholds harder.
  EpisodeInput At(const AlertPlan& plan, const Batch& in, int32_t row, double factor) const {
    EpisodeInput out;
    out.time_us = in.time(row).us;
    out.condition = (!plan.when || (when.IsValid(row) && when.BoolAt(row))) && RightWay(plan, in, row);
    const std::optional<double> number = plan.threshold ? NumberAt(value, row) : std::nullopt;
    if (plan.threshold) out.condition = out.condition && plan.Beyond(number, *plan.threshold, factor);
    // Of a row that meets the condition too: labels may ask for more than that.
    if (plan.clear_when || plan.clear_threshold) {
      const bool cleared = (plan.clear_when && clear.IsValid(row) && clear.BoolAt(row)) ||
                           (plan.clear_threshold && !plan.Beyond(number, *plan.clear_threshold, factor));
      out.lingers = !cleared;
    }
    if (!out.condition && !out.lingers) return out;
    out.severity = static_cast<uint8_t>(plan.fixed_severity);
    if (plan.severity && severity.IsValid(row))
      out.severity = std::max<uint8_t>(SeverityRank(severity.StringAt(row)), 1);
    if (plan.peak) out.value = NumberAt(peak, row);
    return out;
  }

  /// In the unit of -log10 of a p-value, or of `score` or `value`; 0: not known.
  double SurpriseAt(const AlertPlan& plan, const Batch& in, int32_t row) const {
    double most = 0;
    const auto look = [&](std::optional<double> x) {
      if (x && std::isfinite(*x)) most = std::max(most, *x);
    };
    if (plan.surprise)
      if (const auto x = NumberAt(surprise, row)) look(std::abs(*x));
    if (plan.p_value_column >= 0)
      if (const auto p = NumberAt(in.column(plan.p_value_column), row)) look(-std::log10(std::max(*p, 1e-300)));
    if (plan.alarm_score_column >= 0) look(NumberAt(in.column(plan.alarm_score_column), row));
    return most;
  }
  static bool RightWay(const AlertPlan& plan, const Batch& in, int32_t row) {
    if (plan.direction_column < 0) return true;
    const Column& column = in.column(plan.direction_column);
    return column.IsValid(row) && column.StringAt(row) == (plan.direction == AlertDirection::kUp ? "up" : "down");
  }
};

class AlertOperator final : public Operator {
 public:
  explicit AlertOperator(std::shared_ptr<const AlertPlan> plan)
      : plan_(std::move(plan)), rules_(&plan_->rules), end_rules_(plan_->rules) {
    end_rules_.ended = true;
  }

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    const auto stored = TakeStoredRows(ctx.state(), "episodes", plan_->layout);
    FRESHET_ASSIGN_OR_RETURN(
        cells_, ctx.state().OpenKeyed<AlertCell>("episodes", {AlertCell::kCodec, plan_->layout.Fingerprint(), true}));
    FRESHET_RETURN_IF_ERROR(RewriteKeptRows(
        stored, cells_, [](AlertCell& cell, const RowChange& change) { return cell.ChangeRows(change); }));
    FRESHET_ASSIGN_OR_RETURN(silenced_, ctx.state().OpenNumbers("silenced"));
    rule_silenced_until_us_ = silenced_->lowest();
    FRESHET_ASSIGN_OR_RETURN(watermarks_, ctx.state().OpenNumbers("watermark"));
    return ForEachStored(cells_, [&](std::string_view key, AlertCell& cell) {
      if (cell.id == 0 && cell.episode.phase() != Episode::Phase::kIdle)
        cell.id = plan_->AlertId(key, cell.episode.started_us());
      Schedule(std::string(key), cell);
    });
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    keys_.Encode(plan_->key, in);
    FRESHET_RETURN_IF_ERROR(cells_->LoadMissing(keys_, in.physical_row_count()));
    const Evaluated evaluated(*plan_, in, &counters_->nulled);
    counters_->absorbed += in.row_count();
    const bool all = plan_->rules.episode.no_data == NoData::kFire || plan_->sparkline;
    for (int32_t row = 0; row < in.row_count(); ++row) {
      AlertCell* cell = cells_->Find(keys_.hash(row), keys_.key(row));
      const AlertInput input = evaluated.Of(*plan_, in, row, cell != nullptr ? cell->feedback.factor() : 1);
      if (cell == nullptr && !input.episode.condition && !all) continue;
      Step(in, row, input);
    }
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    FRESHET_RETURN_IF_ERROR(std::exchange(unread_, Status::Ok()));
    if (now == EventTime::Max()) rules_ = &end_rules_;
    // Deadlines before `now` only: a row at `now` itself may still come, and deadlines of its time go first then. No
    // more are passed than one batch takes: many keys may have one at the same moment.
    std::vector<Pending> leaving;
    FRESHET_RETURN_IF_ERROR(PassDeadlines(now.us));
    while (!pending_.empty() && leaving.size() < static_cast<size_t>(row_count_max_)) {
      leaving.push_back(std::move(pending_.extract(pending_.begin()).mapped()));
      FRESHET_RETURN_IF_ERROR(PassDeadlines(now.us));
    }
    if (!leaving.empty()) {
      FRESHET_ASSIGN_OR_RETURN(Batch batch, Rows(leaving));
      out.Emit(std::move(batch));
    }
    if (!pending_.empty()) return Progress::kMore;
    now_us_ = std::max(now_us_, now.us);
    if (!held_.empty() && now != EventTime::Max()) watermarks_->Raise(now.us);
    return Progress::kDone;
  }

  void OnCommand(Command& command) override {
    const std::optional<AlertCommand> order = AlertCommand::Decode(command.text);
    if (!order) return;
    if (order->alert_id == 0) {
      silenced_->Reset();
      silenced_->Raise(order->until_us);
      rule_silenced_until_us_ = order->until_us;
      command.Answer("");
    }
    std::vector<std::string> touched;
    const char* refusal = nullptr;
    unread_ = order->alert_id == 0 ? Status::Ok() : Obey(*order, &touched, &refusal);
    if (order->alert_id == 0) touched.assign(held_.begin(), held_.end());
    if (unread_.ok()) unread_ = cells_->LoadMissing({touched.begin(), touched.end()});
    if (!unread_.ok()) return;
    const bool label = order->verb == AlertCommand::Verb::kLabel;
    if (order->alert_id != 0 && !touched.empty())
      command.Answer(refusal != nullptr ? refusal
                     : label && !plan_->learns()
                         ? "`" + plan_->rule +
                               "` has no `threshold` that could move and no `value`, and its rows no `p_value`, "
                               "`alarm_score` or `score`: the label is kept and shown"
                         : "");
    for (const std::string& key : touched) {
      AlertCell& cell = cells_->FindOrCreate(HashKey(key), key);
      cell.LookAnew(std::max(now_us_, watermarks_->at(KeyGroupOf(HashKey(key)))));
      Schedule(key, cell);
    }
  }

 private:
  struct Pending {
    int64_t time_us;
    bool firing;
    Episode episode;
    uint64_t id;
    std::string row_bytes;
    std::string message;
    std::string sparkline;
    AlertBrief brief;
  };

  void Step(const Batch& in, int32_t row, const AlertInput& input) {
    const std::string key(keys_.key(row));
    AlertCell& cell = cells_->FindOrCreate(keys_.hash(row), key);
    Advance(key, cell, input.episode.time_us);
    bool started = false;
    const uint8_t severity = cell.episode.severity();
    const auto event = cell.OnRow(input, *rules_, rule_silenced_until_us_, &started);
    if (started || plan_->rules.episode.no_data == NoData::kFire) {
      std::string bytes = KeptRowBytes(in, row);
      if (plan_->rules.episode.no_data == NoData::kFire) cell.last_bytes = bytes;
      if (started) cell.row_bytes = std::move(bytes);
    }
    if (cell.key_text.empty()) cell.key_text = KeyText(in, row);
    if (started) {
      Begin(key, &cell, plan_->message ? Message(in, row, cell) : HeadlineOf(*plan_, in, row, cell.key_text));
      cell.brief = BriefOf(*plan_, in, row);
    }
    const bool on = cell.episode.phase() != Episode::Phase::kIdle;
    if (on && (started || cell.episode.severity() > severity)) {
      SayHowSure(*plan_, in, row, &cell.brief);
      cell.brief.severity_reason = SeverityReasonOf(*plan_, in, row, cell.episode.severity());
    }
    if (event) Note(key, cell, *event);
    Settle(key, cell, input.episode.time_us);
  }

  static Column TextColumn(const std::string& value) {
    ColumnBuilder column(TypeId::kString, 1);
    column.AppendString(value);
    return column.Finish();
  }
  std::string Message(const Batch& in, int32_t row, const AlertCell& cell) const {
    if (!plan_->message_row) return plan_->message->Render(in, row);
    return plan_->message->Render(
        in.Slice(row, 1).WithAppended(plan_->message_row, {TextColumn(cell.recent.Sparkline())}), 0);
  }

  /// Which keys the order was for. Cells are tried as copies: those in the store are copies anyway, and those in memory
  /// may belong to a checkpoint that is being written.
  Status Obey(const AlertCommand& order, std::vector<std::string>* touched, const char** refusal) {
    FRESHET_RETURN_IF_ERROR(ForEachStored(cells_, [&](std::string_view key, const AlertCell& cell) {
      AlertCell tried = cell;
      if (order.Obey(&tried)) touched->emplace_back(key);
    }));
    FRESHET_RETURN_IF_ERROR(cells_->LoadMissing({touched->begin(), touched->end()}));
    for (const std::string& key : *touched) {
      AlertCell& cell = cells_->FindOrCreate(HashKey(key), key);
      *refusal = order.Refusal(cell);
      order.Obey(&cell);
    }
    return Status::Ok();
  }

  /// All deadlines of the key up to `now_us`.
  void Advance(const std::string& key, AlertCell& cell, int64_t now_us) {
    for (auto next = cell.Deadline(*rules_); next && *next <= now_us && *next < INT64_MAX;
         next = cell.Deadline(*rules_)) {
      bool started = false;
      const auto event = cell.OnTime(*next, *rules_, rule_silenced_until_us_, &started);
      if (started) {
        cell.row_bytes = cell.last_bytes;
        Begin(key, &cell,
              "no data for " + FormatDuration(Duration{plan_->rules.episode.no_data_after_us}) + ", last at " +
                  FormatTime({cell.episode.last_row_us()}) + (cell.key_text.empty() ? "" : ": " + cell.key_text));
        Batch last;
        ByteSource source(cell.last_bytes);
        cell.brief = BriefOfSilence(*plan_, DecodeBatch(source, plan_->input, &last) ? last : Batch());
      }
      if (event) Note(key, cell, *event);
    }
  }

  /// The deadlines before `end_us` that come in front of the first pending row, until there is one.
  Status PassDeadlines(int64_t end_us) {
    while (deadlines_.AnyBefore(end_us) && (pending_.empty() || deadlines_.first() <= pending_.begin()->first)) {
      FRESHET_RETURN_IF_ERROR(deadlines_.Bring(cells_, end_us, row_count_max_));
      const auto [at, key] = deadlines_.first();
      AlertCell& cell = cells_->FindOrCreate(HashKey(key), key);
      Advance(key, cell, at);
      Settle(key, cell, at);
    }
    return Status::Ok();
  }

  void Begin(const std::string& key, AlertCell* cell, std::string message) {
    cell->id = plan_->AlertId(key, cell->episode.started_us());
    cell->label = AlertLabel::kNone;
    cell->acknowledged_us = 0;
    cell->message = std::move(message);
  }

  std::string KeyText(const Batch& in, int32_t row) const {
    std::string text;
    for (const int c : plan_->key.columns())
      text += (text.empty() ? "" : ", ") + in.schema()->field(c).name + "=" + ValueText(in.column(c), row);
    return text;
  }

  /// After a change of a cell: its next deadline, or nothing to remember.
  void Settle(const std::string& key, AlertCell& cell, int64_t now_us) {
    if (cell.Forgettable(now_us, *rules_)) {
      Unschedule(key);
      cells_->Erase(HashKey(key), key);
      return;
    }
    if (cell.episode.phase() == Episode::Phase::kIdle) {
      cell.row_bytes.clear();
      cell.message.clear();
      cell.brief = AlertBrief();
      cell.id = 0;
      cell.told = false;
    }
    Schedule(key, cell);
  }
  void Schedule(const std::string& key, const AlertCell& cell) {
    Unschedule(key);
    if (cell.held()) held_.insert(key);
    deadlines_.Set(key, cell.Deadline(*rules_));
  }
  void Unschedule(const std::string& key) {
    held_.erase(key);
    deadlines_.Set(key, std::nullopt);
  }

  void Note(const std::string& key, const AlertCell& cell, const EpisodeEvent& event) {
    pending_.emplace(std::pair(event.time_us, key),
                     Pending{event.time_us, event.firing, cell.episode, cell.id, cell.row_bytes, cell.message,
                             cell.recent.Sparkline(), cell.brief});
  }

  Result<Batch> Rows(const std::vector<Pending>& leaving) {
    return BatchOfKeptRows(leaving.begin(), leaving.end(), plan_->input, plan_->output,
                           [&](const Pending& p, const Batch& start, std::vector<ColumnBuilder>& columns) {
                             AppendRow(p, start, columns);
                           });
  }

  void AppendRow(const Pending& p, const Batch& start, std::vector<ColumnBuilder>& columns) const {
    size_t c = 0;
    columns[c++].AppendString(AlertIdText(p.id));
    columns[c++].AppendString(plan_->rule);
    for (const int k : plan_->key.columns()) columns[c++].AppendFrom(start.column(k), 0);
    columns[c++].AppendString(p.firing ? "firing" : "resolved");
    columns[c++].AppendString(SeverityWord(p.episode));
    columns[c++].AppendInt64(p.episode.started_us());
    columns[c++].AppendInt64(p.episode.peaked_us());
    AppendPeak(p.episode, &columns[c++]);
    if (p.firing)
      columns[c].AppendNull();
    else
      columns[c].AppendInt64(p.episode.ended_us());
    ++c;
    const Batch told = plan_->told_row ? Told(p, start) : Batch();
    const std::string message =
        p.firing || !plan_->resolved_message ? p.message : plan_->resolved_message->Render(told, 0);
    columns[c++].AppendString(message);
    for (const int k : plan_->carried) columns[c++].AppendFrom(start.column(k), 0);
    if (plan_->dedupe_key) columns[c++].AppendString(plan_->dedupe_key->Render(start, 0));
    const std::string link = plan_->link ? plan_->link->RenderUrl(told, 0) : std::string();
    if (plan_->link) columns[c++].AppendString(link);
    if (plan_->sparkline) columns[c++].AppendString(p.sparkline);
    AppendBrief(p, message, link, columns, &c);
    for (const auto& [name, value] : plan_->constants) columns[c++].AppendString(value);
  }

  void AppendBrief(const Pending& p, const std::string& message, const std::string& link,
                   std::vector<ColumnBuilder>& columns, size_t* c) const {
    const auto text = [&](const std::string& value) {
      ColumnBuilder& column = columns[(*c)++];
      value.empty() ? column.AppendNull() : column.AppendString(value);
    };
    AlertTextFacts facts;
    facts.alert_id = AlertIdText(p.id);
    facts.message = message;
    facts.ours = !plan_->message && (p.firing || !plan_->resolved_message);
    facts.severity = SeverityWord(p.episode);
    facts.firing = p.firing;
    facts.started_us = p.episode.started_us();
    facts.ended_us = p.firing ? p.time_us : p.episode.ended_us();
    facts.peaked_us = p.episode.peaked_us();
    if (p.episode.has_peak()) facts.peak = p.episode.peak();
    facts.link = link;
    if (plan_->sparkline) facts.sparkline = p.sparkline;
    facts.runbook = plan_->briefing.runbook;
    text(p.brief.detected_by);
    p.brief.sample_size ? columns[*c].AppendFloat64(*p.brief.sample_size) : columns[*c].AppendNull();
    ++*c;
    text(p.brief.confidence);
    text(p.brief.severity_reason);
    text(p.brief.next_step);
    if (plan_->links) {
      for (const AlertLinkSpan& span : kAlertLinkSpans) {
        // What is over cannot be resolved once more.
        const bool any = p.firing || span.duration_us != 0;
        facts.silence_links.emplace_back(span.words, any ? SilenceLink(facts.alert_id, span, p.time_us) : "");
      }
    }
    text(WholeAlertText(facts, p.brief));
    for (const auto& [words, url] : facts.silence_links) text(url);
  }
  /// The same on every replay: it expires by the time of the alert, not by that of the replay.
  std::string SilenceLink(const std::string& alert_id, const AlertLinkSpan& span, int64_t told_us) const {
    return SignedLink(plan_->links->secret, plan_->links->url, SilencePath(alert_id, span),
                      LinkExpirySeconds(told_us, plan_->links->valid_for));
  }

  static const char* SeverityWord(const Episode& episode) {
    return SeverityName(static_cast<Severity>(std::max<uint8_t>(episode.severity(), 1)));
  }
  static void AppendPeak(const Episode& episode, ColumnBuilder* column) {
    if (episode.has_peak())
      column->AppendFloat64(episode.peak());
    else
      column->AppendNull();
  }

  /// The columns are those of AlertPlan::told_row. What is not over ends, for a link, where it is told.
  Batch Told(const Pending& p, const Batch& start) const {
    std::vector<Column> more;
    const auto number = [&](TypeId type, int64_t value) {
      ColumnBuilder column(type, 1);
      column.AppendInt64(value);
      more.push_back(column.Finish());
    };
    const auto text = [&](const std::string& value) { more.push_back(TextColumn(value)); };
    const int64_t started_us = p.episode.started_us();
    const int64_t ended_us = p.firing ? p.time_us : p.episode.ended_us();
    number(TypeId::kTimestamp, started_us);
    number(TypeId::kTimestamp, ended_us);
    text(FormatDuration(Duration{ended_us - started_us}));
    number(TypeId::kTimestamp, p.episode.peaked_us());
    ColumnBuilder peak(TypeId::kFloat64, 1);
    AppendPeak(p.episode, &peak);
    more.push_back(peak.Finish());
    text(SeverityWord(p.episode));
    text(AlertIdText(p.id));
    number(TypeId::kInt64, started_us / 1000);
    number(TypeId::kInt64, ended_us / 1000);
    text(p.sparkline);
    return start.WithAppended(plan_->told_row, std::move(more));
  }

  const std::shared_ptr<const AlertPlan> plan_;
  const AlertRules* rules_;
  AlertRules end_rules_;  ///< once the input has ended
  KeyedTable<AlertCell>* cells_ = nullptr;
  KeyGroupNumbers* silenced_ = nullptr;  ///< until when the whole rule is
  int64_t rule_silenced_until_us_ = KeyGroupNumbers::kNone;
  EncodedKeys keys_;
  KeyDeadlines deadlines_;
  std::set<std::string> held_;                                       ///< keys whose alert is
  KeyGroupNumbers* watermarks_ = nullptr;                            ///< the last one, as long as a key is held
  std::multimap<std::pair<int64_t, std::string>, Pending> pending_;  ///< by time and key, else as they came
  int64_t now_us_ = INT64_MIN;                                       ///< the last watermark
  Status unread_;  ///< what an order could not read; told at the next watermark
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

}  // namespace

std::unique_ptr<Operator> NewAlertOperator(std::shared_ptr<const AlertPlan> plan) {
  return std::make_unique<AlertOperator>(std::move(plan));
}

}  // namespace freshet
