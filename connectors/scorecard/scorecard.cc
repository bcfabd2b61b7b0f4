#include "connectors/scorecard/scorecard.h"

#include <cstring>

#include "connectors/format/ndjson_decoder.h"
#include "connectors/scorecard/score.h"
#include "engine/base/bytes.h"

namespace freshet {
namespace {

constexpr uint8_t kStateVersion = 1;
constexpr const char* kNames[] = {"channel", "video_id", "edge", "country", "device"};

std::string TextAt(const Batch& batch, const char* name, int32_t row) {
  const auto column = batch.schema()->Find(name);
  if (!column || batch.schema()->field(*column).type != TypeId::kString || batch.column(*column).IsNull(row)) return {};
  return std::string(batch.column(*column).StringAt(row));
}

/// Reads the truth: one JSON object a line with kind, channel, video_id, edge, country, device, start, end, strength.
Result<std::vector<PlantedAnomaly>> ReadTruth(Env* env, const std::string& path) {
  FRESHET_ASSIGN_OR_RETURN(const std::string bytes, env->ReadFile(path));
  auto schema = std::make_shared<SourceSchema>();
  std::vector<Field> fields;
  const auto add = [&](const char* name, TypeId type) {
    SourceField field;
    field.name = name;
    field.type = type;
    field.path = {name};
    field.column = static_cast<int>(fields.size());
    schema->fields.push_back(std::move(field));
    fields.push_back({name, type});
  };
  for (const char* name : {"kind", "channel", "video_id", "edge", "country", "device"}) add(name, TypeId::kString);
  add("start", TypeId::kTimestamp);
  add("end", TypeId::kTimestamp);
  add("strength", TypeId::kFloat64);
  schema->columns = std::make_shared<const Schema>(fields);
  RawChunk chunk;
  chunk.bytes = AllocateBuffer(static_cast<int64_t>(bytes.size()) + 64);
  std::memcpy(chunk.bytes->data(), bytes.data(), bytes.size());
  chunk.size = static_cast<int64_t>(bytes.size());
  DecodedBlock block;
  NdjsonOptions options;
  options.schema = schema;
  MakeNdjsonDecoder(options)->Decode(chunk, &block);
  if (!block.dead.empty()) return Status::DataLoss("the truth in " + path + " cannot be read: " + block.dead[0].reason);
  std::vector<PlantedAnomaly> out;
  for (int32_t row = 0; row < block.row_count; ++row) {
    if (block.columns[6].IsNull(row) || block.columns[7].IsNull(row))
      return Status::DataLoss("the truth in " + path + " cannot be read: record " + std::to_string(row) +
                              " lacks start or end");
    const auto text = [&](size_t c) {
      return block.columns[c].IsNull(row) ? std::string() : std::string(block.columns[c].StringAt(row));
    };
    PlantedAnomaly p{text(0),
                     text(1),
                     text(2),
                     text(3),
                     text(4),
                     text(5),
                     block.columns[6].int64s()[row],
                     block.columns[7].int64s()[row],
                     0};
    if (block.columns[8].IsValid(row)) p.strength = block.columns[8].float64s()[row];
    out.push_back(std::move(p));
  }
  return out;
}

class ScorecardSink final : public Sink {
 public:
  ScorecardSink(std::string path, int64_t grace_us) : path_(std::move(path)), grace_us_(grace_us) {}

  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    found_.clear();
    if (ctx.restored_epoch.number == 0 || ctx.committed.empty()) return Status::Ok();
    ByteSource source(ctx.committed);
    if (source.GetU8() != kStateVersion) return Status::DataLoss("the scorecard's state cannot be read");
    for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
      FoundAlert a;
      for (std::string* s : {&a.rule, &a.channel, &a.video, &a.edge, &a.country, &a.device}) *s = source.GetString();
      a.started_us = source.GetI64();
      a.fired_us = source.GetI64();
      found_.push_back(std::move(a));
    }
    return source.ok() ? Status::Ok() : Status::DataLoss("the scorecard's state cannot be read");
  }

  Status Write(const Batch& batch, int64_t) override {
    const auto started = batch.schema()->Find("started_at");
    for (int32_t row = 0; row < batch.row_count(); ++row) {
      if (TextAt(batch, "state", row) != "firing") continue;
      FoundAlert a;
      a.rule = TextAt(batch, "rule", row);
      std::string* const names[] = {&a.channel, &a.video, &a.edge, &a.country, &a.device};
      for (size_t i = 0; i < std::size(kNames); ++i) *names[i] = TextAt(batch, kNames[i], row);
      a.fired_us = batch.time(row).us;
      a.started_us = started && batch.column(*started).IsValid(row) ? batch.column(*started).int64s()[row] : a.fired_us;
      found_.push_back(std::move(a));
    }
    return Status::Ok();
  }

  Result<std::string> PrepareCommit(Epoch) override {
    ByteSink sink;
    sink.PutU8(kStateVersion);
    sink.PutVarint(found_.size());
    for (const FoundAlert& a : found_) {
      for (const std::string* s : {&a.rule, &a.channel, &a.video, &a.edge, &a.country, &a.device}) sink.PutString(*s);
      sink.PutI64(a.started_us);
      sink.PutI64(a.fired_us);
    }
    return sink.Take();
  }

  Status Finish() override {
    FRESHET_ASSIGN_OR_RETURN(const std::vector<PlantedAnomaly> truth, ReadTruth(env_, path_));
    const Scorecard score = Score(truth, found_, grace_us_);
    const Scorecard chance = Score(ShuffledTruth(truth, 1), found_, grace_us_);
    summary_ = ScoreText(score, chance);
    return Status::Ok();
  }
  std::string Summary() const override { return summary_; }

 private:
  const std::string path_;
  const int64_t grace_us_;
  Env* env_ = nullptr;
  std::vector<FoundAlert> found_;
  std::string summary_;
};

std::optional<BoundSink> MakeScorecard(const OptionsNode& options, const BindContext& bind) {
  BoundSink bound;
  bound.delivery = Delivery::kExactlyOnce;
  bound.blocking = true;
  bound.restartable = true;
  const std::string path = ResolvePath(bind.directory, options.GetString("truth"));
  bound.explain = {{"truth", path}};
  const int64_t grace_us = options.GetDuration("grace").us;
  bound.make_sink = [path, grace_us] { return std::make_unique<ScorecardSink>(path, grace_us); };
  return bound;
}

}  // namespace

NodeDescriptor ScorecardDescriptor() {
  NodeDescriptor d;
  d.type = "scorecard";
  d.kind = NodeKind::kSink;
  d.summary = "compares alerts with what was planted: precision, recall, delay";
  d.doc =
      "Remembers the alerts it gets and, when a bounded run ends, reads the file of what was planted (`generate: "
      "truth`) and says what share of\n"
      "the plants an alert met (recall), what share of the alerts met a plant (precision), how long that took, and "
      "what the same alerts would\n"
      "have met had the plants' names been dealt out at random. An alert meets a plant when its episode began between "
      "the plant's start and its\n"
      "end plus `grace`, and every name that both know (channel, video_id, edge, country, device) is equal.";
  d.example = "verdict:\n  type: scorecard\n  inputs: [surges]\n  truth: truth.ndjson";
  d.inputs_max = 64;
  OptionSpec truth;
  truth.name = "truth";
  truth.kind = OptionKind::kPath;
  truth.required = true;
  truth.doc = "The file that `generate` wrote.";
  OptionSpec grace;
  grace.name = "grace";
  grace.kind = OptionKind::kDuration;
  grace.default_text = "15m";
  grace.doc = "How long after a plant's end an episode may still begin: windows close late.";
  d.options = {truth, grace};
  d.make_sink = MakeScorecard;
  return d;
}

}  // namespace freshet
