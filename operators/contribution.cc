#include "operators/contribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "engine/batch/column_builder.h"
#include "engine/state/keyed_table.h"
#include "engine/state/table_scan.h"
#include "operators/anomaly/segment_book.h"
#include "operators/anomaly_plan.h"
#include "operators/binding.h"
#include "operators/state_ttl.h"

namespace freshet {
namespace {

constexpr uint16_t kCodec = 2;  // 1 did not say when a key was seen last
constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();
constexpr int kStrayRunMax = 100;
constexpr int64_t kHourUs = 3'600'000'000;

struct ContributionPlan : AnomalyPlan {
  std::vector<int> dimensions;
  int key_count = 0;
  bool ratio() const { return of.has_value(); }
};

/// A moment of one key, judged.
struct Told {
  int64_t time_us = 0;
  std::string key;
  double total = 0;
  double of = 0;
  DetectorColumns::Row row;
  std::string segments;
  double share = NAN;
};

/// About what a segment of an open moment takes.
int64_t SegmentBytes(const std::string& name) {
  return static_cast<int64_t>(sizeof(SegmentTick::value_type) + 4 * sizeof(void*) +
                              (name.size() > 15 ? name.size() : 0));
}

/// What is known of one key.
class Contributor {
 public:
  explicit Contributor(const ContributionPlan& plan)
      : model_(plan.model), book_(static_cast<int>(plan.dimensions.size()), plan.ratio(), plan.model.series.by_hour) {}

  Told Judge(int64_t time_us, const SegmentTick& tick, const ContributionPlan& plan) {
    Told told;
    told.time_us = time_us;
    SegmentCounts sum;
    for (const auto& [name, counts] : tick) {
      sum.k += counts.k;
      sum.n += counts.n;
    }
    told.total = plan.ratio() ? (sum.n > 0 ? sum.k / sum.n : NAN) : sum.k;
    told.of = sum.n;
    AnomalyInput input{.time = {told.time_us}, .x = &told.total, .zone_us = ZoneOffset(plan, {told.time_us})};
    if (plan.ratio()) input.n = &sum.n;
    const AnomalyVerdict verdict = model_.ScoreAndLearn(input);
    if (verdict.began_anew >= 0) book_.Clear();
    const int64_t in_day = (input.time.us + input.zone_us) % (24 * kHourUs);
    const auto hour = static_cast<int>((in_day < 0 ? in_day + 24 * kHourUs : in_day) / kHourUs);
    const bool odd = verdict.is_anomaly || verdict.alarm_score > 0 || (verdict.p_value && *verdict.p_value < 1e-2);
    std::string detail;
    if (odd) {
      if (const auto explained = book_.Explain(hour, tick, verdict.lead.expected)) {
        detail = explained->Text();
        if (!explained->segments.empty()) {
          told.share = explained->share;
          for (const std::string& s : explained->segments) told.segments += (told.segments.empty() ? "" : "; ") + s;
        }
      }
    }
    // What is odd is not learned, unless it stays.
    const bool stray = verdict.is_anomaly || (verdict.p_value && *verdict.p_value < 1e-3);
    stray_run_ = stray ? std::min(stray_run_ + 1, kStrayRunMax + 1) : 0;
    if (!stray || stray_run_ > kStrayRunMax) book_.Learn(hour, tick);
    told.row = AnomalyRow(verdict, plan, &told.total, told.time_us, detail);
    return told;
  }

  int64_t MemoryBytes() const { return static_cast<int64_t>(model_.memory_bytes() + book_.memory_bytes()); }
  void Encode(ByteSink& sink) const {
    model_.Encode(sink);
    book_.Encode(sink);
    sink.PutU8(static_cast<uint8_t>(stray_run_));
  }
  Status Decode(ByteSource& source) {
    FRESHET_RETURN_IF_ERROR(model_.Decode(source));
    if (!book_.Decode(source)) return Status::DataLoss("contribution: the snapshot is torn");
    stray_run_ = source.GetU8();
    return source.ok() ? Status::Ok() : Status::DataLoss("contribution: the snapshot is torn");
  }

 private:
  AnomalyModel model_;
  SegmentBook book_;
  int stray_run_ = 0;
};

/// One key's row of the table.
struct ContributionCell {
  int64_t seen_us = kUnknown;           // the newest moment
  int64_t judged_us = kUnknown;         // the newest one that was judged
  std::map<int64_t, SegmentTick> open;  // moments not yet judged
  int64_t open_bytes = 0;
  std::unique_ptr<Contributor> contributor;
  std::string bytes;  // of the contributor, until its first use
  uint16_t codec = kCodec;

  bool IsExpired(int64_t now_us, int64_t ttl_us) const { return IsForgotten(seen_us, now_us, ttl_us); }

  void Add(int64_t time_us, const std::string& segment, const SegmentCounts& counts) {
    seen_us = seen_us == kUnknown ? time_us : std::max(seen_us, time_us);
    const auto [at, is_new] = open[time_us].try_emplace(segment);
    if (is_new) open_bytes += SegmentBytes(segment);
    at->second.k += counts.k;
    at->second.n += counts.n;
  }
  /// Judges the oldest open moment and closes it; by a new model, if the key was away for too long. REQUIRES: there is
  /// one.
  Result<Told> Close(const ContributionPlan& plan) {
    FRESHET_RETURN_IF_ERROR(Wake(plan));
    const auto oldest = open.extract(open.begin());
    for (const auto& [name, counts] : oldest.mapped()) open_bytes -= SegmentBytes(name);
    if (plan.ttl_us > 0 && IsForgotten(judged_us, oldest.key(), plan.ttl_us))
      contributor = std::make_unique<Contributor>(plan);
    judged_us = oldest.key();
    return contributor->Judge(oldest.key(), oldest.mapped(), plan);
  }
  /// Makes a model of the bytes.
  Status Wake(const ContributionPlan& plan) {
    if (contributor) return Status::Ok();
    contributor = std::make_unique<Contributor>(plan);
    if (bytes.empty()) return Status::Ok();
    ByteSource source(bytes);
    FRESHET_RETURN_IF_ERROR(contributor->Decode(source));
    if (codec == 1 && !DecodeOpen(source)) return Status::DataLoss("contribution: the snapshot is torn");
    codec = kCodec;
    bytes = std::string();
    return Status::Ok();
  }

  void Encode(ByteSink& sink) const {
    sink.PutI64(seen_us);
    sink.PutI64(judged_us);
    sink.PutVarint(open.size());
    for (const auto& [time_us, tick] : open) {
      sink.PutI64(time_us);
      sink.PutVarint(tick.size());
      for (const auto& [name, counts] : tick) {
        sink.PutString(name);
        sink.PutF64(counts.k);
        sink.PutF64(counts.n);
      }
    }
    if (contributor)
      contributor->Encode(sink);
    else
      sink.PutBytes(bytes);
  }
  /// In codec 1 the open moments stood behind the contributor: they are there once it is awake.
  bool Decode(ByteSource& source, uint16_t written) {
    codec = written;
    if (codec == kCodec) {
      seen_us = source.GetI64();
      judged_us = source.GetI64();
      if (!DecodeOpen(source)) return false;
    }
    bytes = source.GetBytes(source.remaining());
    return source.ok() && (codec == 1 || codec == kCodec);
  }
  int64_t MemoryBytes() const {
    return open_bytes + (contributor ? contributor->MemoryBytes() : static_cast<int64_t>(bytes.capacity()));
  }

 private:
  bool DecodeOpen(ByteSource& source) {
    for (uint64_t moments = source.GetVarint(); moments > 0 && source.ok(); --moments) {
      const int64_t time_us = source.GetI64();
      for (uint64_t count = source.GetVarint(); count > 0 && source.ok(); --count) {
        const std::string name(source.GetString());
        SegmentCounts counts;
        counts.k = source.GetF64();
        counts.n = source.GetF64();
        Add(time_us, name, counts);
      }
    }
    return source.ok();
  }
};

class Contribution final : public Operator {
 public:
  explicit Contribution(std::shared_ptr<const ContributionPlan> plan)
      : plan_(std::move(plan)), expiry_(plan_->ttl_us) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_ASSIGN_OR_RETURN(
        cells_, ctx.state().OpenKeyed<ContributionCell>("contributions", {kCodec, plan_->fingerprint, true}));
    Status status;
    const Status read = ForEachStored(cells_, [&](std::string_view key, ContributionCell& cell) {
      if (cell.codec != kCodec && status.ok()) status = cell.Wake(*plan_);
      for (const auto& [time_us, tick] : cell.open) open_.emplace(time_us, key);
    });
    return status.ok() ? read : status;
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    if (!in.has_times()) return Status::Internal("`contribution` got rows without event time");
    const Column metric = plan_->metrics[0].Evaluate(in, &counters_->nulled);
    std::optional<Column> of;
    if (plan_->of) of = plan_->of->Evaluate(in, &counters_->nulled);
    keys_.Encode(*plan_->key, in);
    expiry_.RowsCame(in.row_count());
    FRESHET_RETURN_IF_ERROR(cells_->LoadMissing(keys_, in.physical_row_count()));
    counters_->absorbed += in.row_count();
    for (int32_t row = 0; row < in.row_count(); ++row) {
      const SegmentCounts counts{NumberAt(metric, row), of ? NumberAt(*of, row) : 0};
      if (!std::isfinite(counts.k) || !std::isfinite(counts.n)) continue;
      const std::string key(keys_.key(row));
      open_.emplace(in.time(row).us, key);
      cells_->FindOrCreate(keys_.hash(row), key).Add(in.time(row).us, SegmentOf(in, row), counts);
    }
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    FRESHET_RETURN_IF_ERROR(JudgeSome(now));
    if (!told_.empty()) {
      FRESHET_ASSIGN_OR_RETURN(Batch batch, Rows());
      out.Emit(std::move(batch));
    }
    if (!open_.empty() && open_.begin()->first < now.us) return Progress::kMore;
    FRESHET_RETURN_IF_ERROR(expiry_.OnWatermark(cells_, now));
    return Progress::kDone;
  }

 private:
  /// As many moments before `now` as a batch takes, by (time, key), as open_ is.
  Status JudgeSome(EventTime now) {
    std::vector<std::string_view> keys;
    const auto at_once = static_cast<size_t>(std::min(row_count_max_, cells_->keys_back_at_once()));
    auto end = open_.begin();
    for (; end != open_.end() && end->first < now.us && keys.size() < at_once; ++end) keys.push_back(end->second);
    FRESHET_RETURN_IF_ERROR(cells_->LoadMissing(keys));
    for (const std::string_view key : keys) {
      FRESHET_ASSIGN_OR_RETURN(Told told, cells_->FindOrCreate(HashKey(key), key).Close(*plan_));
      told.key = key;
      told_.push_back(std::move(told));
    }
    open_.erase(open_.begin(), end);
    return Status::Ok();
  }

  std::string SegmentOf(const Batch& in, int32_t row) const {
    std::string name;
    for (size_t d = 0; d < plan_->dimensions.size(); ++d) {
      if (d > 0) name += kSegmentSeparator;
      const Column& column = in.column(plan_->dimensions[d]);
      std::string value = "(none)";
      if (column.IsValid(row)) {
        switch (column.type()) {
          case TypeId::kString:
          case TypeId::kJson:
            value = column.StringAt(row);
            break;
          case TypeId::kBool:
            value = column.BoolAt(row) ? "true" : "false";
            break;
          default:
            value = std::to_string(column.int64s()[row]);
        }
      }
      std::replace(value.begin(), value.end(), kSegmentSeparator, ' ');
      name += value;
    }
    return name;
  }

  Result<Batch> Rows() {
    const auto count = static_cast<int32_t>(told_.size());
    const Schema& schema = *plan_->output;
    std::vector<ColumnBuilder> first;
    for (int c = 0; c < plan_->key_count; ++c) first.emplace_back(schema.field(c).type, count);
    ColumnBuilder total(TypeId::kFloat64, count), of(TypeId::kFloat64, count);
    ColumnBuilder segments(TypeId::kString, count), share(TypeId::kFloat64, count);
    DetectorColumns detector(plan_->columns, count);
    RowMeta meta;
    meta.times = AllocateBuffer(int64_t{8} * count);
    for (int32_t i = 0; i < count; ++i) {
      const Told& told = told_[static_cast<size_t>(i)];
      if (!plan_->key->Decode(told.key, first)) return Status::DataLoss("a key of contributions cannot be read");
      std::isnan(told.total) ? total.AppendNull() : total.AppendFloat64(told.total);
      of.AppendFloat64(told.of);
      detector.Add(told.row);
      told.segments.empty() ? segments.AppendNull() : segments.AppendString(told.segments);
      std::isnan(told.share) ? share.AppendNull() : share.AppendFloat64(told.share);
      meta.times.as<int64_t>()[i] = told.time_us;
    }
    meta.watermarks = meta.times;
    told_.clear();
    std::vector<Column> columns;
    for (ColumnBuilder& b : first) columns.push_back(b.Finish());
    columns.push_back(total.Finish());
    if (plan_->ratio()) columns.push_back(of.Finish());
    for (Column& c : detector.Finish()) columns.push_back(std::move(c));
    columns.push_back(segments.Finish());
    columns.push_back(share.Finish());
    return Batch(plan_->output, std::move(columns), count, std::move(meta));
  }

  const std::shared_ptr<const ContributionPlan> plan_;
  KeyedTable<ContributionCell>* cells_ = nullptr;
  KeyExpiry<ContributionCell> expiry_;
  EncodedKeys keys_;
  std::set<std::pair<int64_t, std::string>> open_;  // moments not yet judged
  std::vector<Told> told_;                          // only within a call
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

/// Key columns, then the total: `total`, and `of` of a ratio; then what detectors add; then the explanation.
std::optional<Schema> MakeSchema(const OptionsNode& options, const BindContext& bind, const Schema& input,
                                 const std::vector<int>& key, const ContributionPlan& plan) {
  std::vector<Field> fields;
  for (const int c : key) fields.push_back(input.field(c));
  fields.push_back({"total", TypeId::kFloat64});
  if (plan.ratio()) fields.push_back({"of", TypeId::kFloat64});
  for (size_t i = key.size(); i < fields.size(); ++i) {
    for (size_t k = 0; k < key.size(); ++k) {
      if (fields[i].name != fields[k].name) continue;
      bind.diagnostics->Error("FR3531", options.span("key"),
                              "a key column may not be called `" + fields[i].name + "` here",
                              "rename it with a `select` before");
      return std::nullopt;
    }
  }
  const std::optional<Schema> detector = DetectorSchema(options, bind, Schema(fields), plan.columns);
  if (!detector) return std::nullopt;
  const std::string prefix = options.FindString("as").value_or("");
  const auto named = [&](const char* name) { return prefix.empty() ? name : prefix + "_" + name; };
  return detector->With({{named("segments"), TypeId::kString}, {named("explained"), TypeId::kFloat64}});
}

bool BindContribution(const OptionsNode& options, const Schema& input, const BindContext& bind,
                      ContributionPlan* plan) {
  auto metric = BindNumber(*options.FindExpr("metric"), input, bind, "FR3505", "`metric`");
  bool good = metric.has_value();
  if (const auto of = options.FindExpr("of")) {
    plan->of = BindNumber(*of, input, bind, "FR3505", "`of`");
    good = good && plan->of.has_value();
  }
  plan->model.series.kind = plan->ratio() ? MetricKind::kRatio : MetricKind::kCount;
  const auto dimensions = FindKey(input, options, "dimensions", bind.diagnostics);
  if (!dimensions || !good) return false;
  plan->dimensions = *dimensions;
  for (const int d : *dimensions) {
    if (input.field(d).type != TypeId::kFloat64) continue;
    bind.diagnostics->Error("FR3532", options.span("dimensions"),
                            "`" + input.field(d).name + "` is a fraction, which makes no segments",
                            "put it into ranges before, as in floor(x / 10)");
    good = false;
  }
  if (dimensions->empty() || dimensions->size() > SegmentBook::kDimensionsMax) {
    bind.diagnostics->Error("FR3532", options.span("dimensions"), "there must be 1 to 6 dimensions");
    good = false;
  }
  std::string name = options.FindString("name").value_or("");
  if (name.empty()) name = metric->ToString() + (plan->of ? " / " + plan->of->ToString() : "");
  plan->words = {{name, plan->ratio()}};
  plan->metrics.push_back(std::move(*metric));
  return ReadAnomalyModelOptions(options, bind, plan) && good;
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<ContributionPlan>();
  const bool good = BindContribution(options, *input, bind, plan.get());
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto ttl_us = ReadStateTtl(options, bind, key && !key->empty());
  if (!good || !key || !ttl_us) return std::nullopt;
  const auto schema = MakeSchema(options, bind, *input, *key, *plan);
  if (!schema) return std::nullopt;
  if (const Status valid = AnomalyModel::Validate(plan->model); !valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  plan->output = std::make_shared<const Schema>(*schema);
  plan->ttl_us = *ttl_us;
  plan->key = KeyCodec(*input, *key);  // of no columns: one key
  plan->key_count = static_cast<int>(key->size());
  std::string dimensions;
  for (const int d : plan->dimensions) dimensions += (dimensions.empty() ? "" : ", ") + input->field(d).name;
  plan->fingerprint = "contribution " + AnomalyModelFingerprint(options) + ": " + plan->metrics[0].ToString() +
                      (plan->of ? " of " + plan->of->ToString() : "") + " by " + dimensions + "; key:";
  for (const TypeId type : plan->key->types()) plan->fingerprint += std::string(" ") + TypeName(type);
  BoundOperator bound;
  std::vector<int> key_columns;
  for (int c = 0; c < plan->key_count; ++c) key_columns.push_back(c);
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, key_columns},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.node_class = NodeClass::kStateful;
  bound.input_order = InputOrder::kByEventTime;
  bound.judges_moments = true;
  if (!key->empty()) bound.key = *key;
  bound.passes_input_columns = false;
  AddColumnsRead(plan->metrics[0], *input, &bound.columns_read);
  if (plan->of) AddColumnsRead(*plan->of, *input, &bound.columns_read);
  for (const int c : plan->dimensions) AddName(input->field(c).name, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  bound.outputs[0].method =
      "contribution to " + plan->words[0].name + " (" + (plan->ratio() ? "ratio" : "count") + ") by " + dimensions;
  bound.explain = {{"metric", plan->words[0].name}, {"dimensions", dimensions}};
  bound.instantiate = [plan] { return std::make_unique<Contribution>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor ContributionDescriptor() {
  NodeDescriptor d;
  d.type = "contribution";
  d.kind = NodeKind::kOperator;
  d.summary = "Watches a total and says which segments explain that it changed";
  d.doc =
      "Takes rows of segments, such as the results of a window keyed by device and country: all rows of one event time "
      "(of one `key`) are added up,\n"
      "`metric` as a count, or with `of` as a ratio, sum(metric) / sum(of). The total is watched as `anomaly` watches "
      "a "
      "metric, with its options.\n"
      "Where it is unusual, every segment is compared with its usual share of what was expected, by hour of the day, "
      "and "
      "the smallest set of segments\n"
      "(of one dimension, or of two or three together) that explains 67 % of the change and is the most surprising is "
      "named in `segments`\n"
      "('mobile in US'), the share it explains in `explained`, and both in `why`: \"engagement_rate 2.1 % against 5.9 "
      "% "
      "expected (4.8–7) for 12 min;\n"
      "mobile in US explains 71 %\". A segment that has no row had nothing.\n"
      "Gives one row per event time and key: the key columns, total, `of` (sum, of a ratio), the columns of `anomaly`, "
      "segments, explained. Late rows\n"
      "leave on `ID.late`, with them those of an input that has grown whose moment the end has judged (`after_end`). "
      "Rows whose number is null are left out; a null dimension is (none).";
  d.example =
      "engagement:\n  type: contribution\n  inputs: [per_segment]\n  metric: engagements\n  of: views\n  dimensions: "
      "[device, country]\n  name: engagement_rate\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(DetectorOption("metric", OptionKind::kExpr, "What is counted in a segment."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("of", OptionKind::kExpr, "Out of how many: then the total is a ratio."));
  d.options.push_back(
      DetectorOption("dimensions", OptionKind::kNameList, "The columns that tell segments apart, up to 6."));
  d.options.back().required = true;
  d.options.push_back(
      DetectorOption("name", OptionKind::kString, "What the total is called in `why`.", "", StateEffect::kNone));
  AddAnomalyModelOptions(&d);
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
