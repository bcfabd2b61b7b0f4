#include "connectors/generate/generate.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>

#include "connectors/file_sink/option_path.h"
#include "engine/base/limits.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"

namespace freshet {
namespace {

enum MediaColumn {
  kAt,
  kEventId,
  kKind,
  kChannel,
  kVideoId,
  kPublishedAt,
  kCountry,
  kDevice,
  kEdge,
  kUser,
  kStatus,
  kLatencyMs,
  kWatchSeconds
};

/// Events of an endless stream are counted in worlds of a week, so that its rhythm is whole.
constexpr int64_t kEndlessSpanHours = 24 * 7;
constexpr double kEndlessRateDefault = 200;  // events per second of event time
constexpr int64_t kPaceSliceUs = 20000;      // a paced stream hands out what 20 ms bring
constexpr char kPartitionName[] = "events";

class GenerateSource final : public Source {
 public:
  GenerateSource(std::shared_ptr<MediaModel> model, GenerateOptions options)
      : model_(std::move(model)), options_(std::move(options)) {}

  Status Open(const SourceOpenContext& ctx) override {
    env_ = ctx.env;
    if (!ctx.restored.empty()) {
      const std::string& text = ctx.restored.front().position;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), next_);
      if (!text.empty() && (parsed.ec != std::errc() || next_ < 0))
        return Status::DataLoss("the generator's stored position `" + text + "` is not a number");
    }
    paced_from_ = next_;
    paced_since_us_ = env_->SteadyMicros();
    return WriteTruth();
  }

  std::vector<std::string> Partitions() const override { return {kPartitionName}; }

  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    if (options_.events > 0 && next_ >= options_.events) return PollOutcome::kEnd;
    int64_t count = std::min<int64_t>(kBatchRowCountMax, std::max<int64_t>(1, budget.rows));
    if (options_.events > 0) count = std::min(count, options_.events - next_);
    const int64_t per_world = model_->options().event_count;
    count = std::min(count, per_world - next_ % per_world);
    if (options_.events_per_second > 0) {
      const double elapsed = static_cast<double>(env_->SteadyMicros() - paced_since_us_) / 1e6;
      const int64_t due = paced_from_ + static_cast<int64_t>(elapsed * options_.events_per_second) - next_;
      if (due <= 0) return PollOutcome::kNothing;
      count = std::min(count, due);
    }
    if (next_ / per_world >= truth_worlds_) FRESHET_RETURN_IF_ERROR(WriteTruth());
    chunk->numbers[0] = next_;
    chunk->numbers[1] = count;
    chunk->row_count_hint = count;
    next_ += count;
    progress_.store(next_, std::memory_order_relaxed);
    chunk->position_after = std::to_string(next_);
    chunk->partition_end = options_.events > 0 && next_ >= options_.events;
    return PollOutcome::kChunk;
  }

  int64_t retry_after_us() const override {
    if (options_.events_per_second <= 0) return kPaceSliceUs;
    return std::max(kPaceSliceUs, static_cast<int64_t>(1e6 / options_.events_per_second));
  }

  std::optional<double> ProgressRatio() const override {
    if (options_.events <= 0) return std::nullopt;
    return static_cast<double>(progress_.load(std::memory_order_relaxed)) / static_cast<double>(options_.events);
  }

 private:
  /// Truth of all worlds up to the current one, so that a restart writes the same file again.
  Status WriteTruth() {
    if (options_.truth_path.empty()) return Status::Ok();
    const int64_t last = options_.events > 0 ? std::min(next_, options_.events - 1) : next_;
    truth_worlds_ = last / model_->options().event_count + 1;
    std::string text;
    for (int64_t w = 0; w < truth_worlds_; ++w) {
      const auto world = model_->World(w);
      for (const Plant& plant : world->plants()) text += PlantLine(*world, plant);
    }
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(DirectoryOf(options_.truth_path)));
    return env_->WriteFileAtomically(options_.truth_path, text);
  }

  const std::shared_ptr<MediaModel> model_;
  const GenerateOptions options_;
  Env* env_ = nullptr;
  int64_t next_ = 0;
  std::atomic<int64_t> progress_{0};
  int64_t paced_from_ = 0;
  int64_t paced_since_us_ = 0;
  int64_t truth_worlds_ = 0;
};

/// A string column from a code per row and the text of each code (at most 16 bytes, so that one wide copy does).
class CodedText {
 public:
  void Clear() { texts_.clear(); }
  void Add(std::string_view text) {
    Slot slot;
    slot.length = static_cast<int32_t>(std::min<size_t>(text.size(), sizeof slot.bytes));
    std::memcpy(slot.bytes, text.data(), static_cast<size_t>(slot.length));
    texts_.push_back(slot);
  }
  template <class CodeAt>
  Column Make(int32_t rows, CodeAt&& code_at) const {
    BufferRef offsets = AllocateBuffer(int64_t{4} * (rows + 1));
    BufferRef values = AllocateBuffer(int64_t{sizeof(Slot::bytes)} * (rows + 1));
    auto* offset = offsets.as<int32_t>();
    char* out = values.as<char>();
    int32_t at = 0;
    offset[0] = 0;
    for (int32_t i = 0; i < rows; ++i) {
      const Slot& slot = texts_[static_cast<size_t>(code_at(i))];
      std::memcpy(out + at, slot.bytes, sizeof slot.bytes);
      at += slot.length;
      offset[i + 1] = at;
    }
    return Column(TypeId::kString, rows, {}, std::move(values), std::move(offsets));
  }

 private:
  struct Slot {
    char bytes[16] = {};
    int32_t length = 0;
  };
  std::vector<Slot> texts_;
};

template <class At>
Column WordColumn(TypeId type, int32_t rows, At&& at) {
  BufferRef values = AllocateBuffer(int64_t{8} * std::max(rows, 1));
  auto* out = values.as<std::decay_t<decltype(at(0))>>();
  static_assert(sizeof *out == 8);
  for (int32_t i = 0; i < rows; ++i) out[i] = at(i);
  return Column(type, rows, {}, std::move(values));
}

/// "u" and seven digits.
Column UserColumn(const std::vector<uint32_t>& users) {
  const auto rows = static_cast<int32_t>(users.size());
  BufferRef offsets = AllocateBuffer(int64_t{4} * (rows + 1));
  BufferRef values = AllocateBuffer(int64_t{8} * std::max(rows, 1));
  char* out = values.as<char>();
  for (int32_t i = 0; i < rows; ++i) {
    uint32_t user = users[static_cast<size_t>(i)];
    char* text = out + int64_t{8} * i;
    text[0] = 'u';
    for (int d = 7; d >= 1; --d, user /= 10) text[d] = static_cast<char>('0' + user % 10);
    offsets.as<int32_t>()[i] = 8 * i;
  }
  offsets.as<int32_t>()[rows] = 8 * rows;
  return Column(TypeId::kString, rows, {}, std::move(values), std::move(offsets));
}

/// NaN becomes null.
Column NullableColumn(const std::vector<double>& values) {
  ColumnBuilder builder(TypeId::kFloat64, static_cast<int32_t>(values.size()));
  for (double v : values) std::isnan(v) ? builder.AppendNull() : builder.AppendFloat64(v);
  return builder.Finish();
}

class GenerateDecoder final : public Decoder {
 public:
  GenerateDecoder(std::shared_ptr<MediaModel> model, SchemaRef schema) : generator_(std::move(model)) {
    const SchemaRef all = MediaSchema();
    for (const Field& field : schema->fields()) columns_.push_back(all->Find(field.name).value_or(kAt));
    for (const char* kind : kMediaKinds) kinds_.Add(kind);
    for (const MediaCountry& country : kMediaCountries) countries_.Add(country.code);
    for (const char* device : kMediaDevices) devices_.Add(device);
    for (const MediaEdge& edge : kMediaEdges) edges_.Add(edge.name);
  }

  void Decode(const RawChunk& chunk, DecodedBlock* block) override {
    generator_.Generate(chunk.numbers[0], chunk.numbers[1], &rows_);
    if (rows_.world != named_) NameVideos();
    block->row_count = rows_.size();
    block->record_count = rows_.size();
    block->columns.clear();
    for (int column : columns_) block->columns.push_back(Make(column));
  }

 private:
  void NameVideos() {
    named_ = rows_.world;
    videos_.Clear();
    channels_.Clear();
    for (const MediaVideo& video : named_->videos()) {
      videos_.Add(video.id);
      channels_.Add(named_->channels()[static_cast<size_t>(video.channel)].name);
    }
  }

  Column Make(int column) const {
    const int32_t n = rows_.size();
    const auto code = [](const auto& codes) { return [&codes](int32_t i) { return codes[static_cast<size_t>(i)]; }; };
    switch (column) {
      case kAt:
        return WordColumn(TypeId::kTimestamp, n, code(rows_.time_us));
      case kEventId:
        return WordColumn(TypeId::kInt64, n, [&](int32_t i) { return rows_.first_event + i; });
      case kKind:
        return kinds_.Make(n, code(rows_.kind));
      case kChannel:
        return channels_.Make(n, code(rows_.video));
      case kVideoId:
        return videos_.Make(n, code(rows_.video));
      case kPublishedAt:
        return WordColumn(TypeId::kTimestamp, n, [&](int32_t i) {
          return named_->videos()[rows_.video[static_cast<size_t>(i)]].published.us;
        });
      case kCountry:
        return countries_.Make(n, code(rows_.country));
      case kDevice:
        return devices_.Make(n, code(rows_.device));
      case kEdge:
        return edges_.Make(n, code(rows_.edge));
      case kUser:
        return UserColumn(rows_.user);
      case kStatus:
        return WordColumn(TypeId::kInt64, n, code(rows_.status));
      case kLatencyMs:
        return WordColumn(TypeId::kFloat64, n, code(rows_.latency_ms));
      default:
        return NullableColumn(rows_.watch_seconds);
    }
  }

  MediaGenerator generator_;
  MediaRows rows_;
  std::vector<int> columns_;
  std::shared_ptr<const MediaWorld> named_;
  CodedText kinds_, channels_, videos_, countries_, devices_, edges_;
};

std::optional<BoundSource> MakeGenerate(const OptionsNode& options, const BindContext& bind) {
  GenerateOptions o;
  const Result<double> rate = ParseEventRate(options.GetString("rate"));
  if (!rate.ok()) {
    bind.diagnostics->Error("FR3111", options.span("rate"), rate.status().message(),
                            "write `unlimited` or a number such as `10000/s`");
    return std::nullopt;
  }
  o.events_per_second = rate.value();
  o.events = options.GetInt("events");
  o.truth_path = ResolveOptionPath(options, bind, "truth");
  o.media.seed = static_cast<uint64_t>(options.GetInt("seed"));
  o.media.channel_count = static_cast<int>(options.GetInt("channels"));
  o.media.videos_per_channel = static_cast<int>(options.GetInt("videos"));
  o.media.plants = options.GetFloat("plants");
  if (const auto start = options.FindTime("start")) o.media.start = *start;
  if (o.events > 0) {
    o.media.event_count = o.events;
    if (const auto span = options.FindDuration("span")) o.media.span = *span;
  } else {
    // Endless: event time passes as fast as the clock when paced.
    o.media.span = options.FindDuration("span").value_or(Duration::Seconds(kEndlessSpanHours * 3600));
    const double per_second = o.events_per_second > 0 ? o.events_per_second : kEndlessRateDefault;
    o.media.event_count =
        std::max<int64_t>(1, static_cast<int64_t>(per_second * static_cast<double>(o.media.span.us) / 1e6));
  }

  BoundSource bound;
  bound.bounded = o.events > 0;
  bound.schema = MediaSchema();
  if (bind.needed != nullptr) {
    std::vector<Field> fields;
    for (const Field& field : MediaSchema()->fields())
      if (std::find(bind.needed->begin(), bind.needed->end(), field.name) != bind.needed->end())
        fields.push_back(field);
    bound.schema = std::make_shared<const Schema>(std::move(fields));
  }
  bound.explain = {{"preset", "media"},
                   {"seed", std::to_string(o.media.seed)},
                   {"events", o.events > 0 ? FormatCount(o.events) : "endless"},
                   {"rate", options.GetString("rate")}};
  const auto model = std::make_shared<MediaModel>(o.media);
  bound.make_source = [model, o] { return MakeGenerateSource(model, o); };
  bound.make_decoder = [model, schema = bound.schema] { return MakeGenerateDecoder(model, schema); };
  return bound;
}

OptionSpec Option(const char* name, OptionKind kind, const char* default_text, const char* doc) {
  OptionSpec spec;
  spec.name = name;
  spec.kind = kind;
  spec.default_text = default_text;
  spec.doc = doc;
  spec.state = StateEffect::kBreaking;
  return spec;
}

}  // namespace

SchemaRef MediaSchema() {
  static const SchemaRef schema =
      std::make_shared<const Schema>(std::vector<Field>{{"at", TypeId::kTimestamp},
                                                        {"event_id", TypeId::kInt64},
                                                        {"kind", TypeId::kString},
                                                        {"channel", TypeId::kString},
                                                        {"video_id", TypeId::kString},
                                                        {"published_at", TypeId::kTimestamp},
                                                        {"country", TypeId::kString},
                                                        {"device", TypeId::kString},
                                                        {"edge", TypeId::kString},
                                                        {"user", TypeId::kString},
                                                        {"status", TypeId::kInt64},
                                                        {"latency_ms", TypeId::kFloat64},
                                                        {"watch_seconds", TypeId::kFloat64}});
  return schema;
}

Result<double> ParseEventRate(const std::string& text) {
  if (text.empty() || text == "unlimited") return 0.0;
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(parsed.ptr, static_cast<size_t>(text.data() + text.size() - parsed.ptr));
  const double per_second = unit.empty() || unit == "/s"     ? 1
                            : unit == "/m" || unit == "/min" ? 1 / 60.0
                            : unit == "/h"                   ? 1 / 3600.0
                                                             : 0;
  if (parsed.ec != std::errc() || !(value > 0) || !std::isfinite(value) || per_second == 0)
    return Status::InvalidArgument("`" + text + "` is not a rate of events");
  return value * per_second;
}

std::unique_ptr<Source> MakeGenerateSource(std::shared_ptr<MediaModel> model, GenerateOptions options) {
  return std::make_unique<GenerateSource>(std::move(model), std::move(options));
}

std::unique_ptr<Decoder> MakeGenerateDecoder(std::shared_ptr<MediaModel> model, SchemaRef schema) {
  return std::make_unique<GenerateDecoder>(std::move(model), std::move(schema));
}

NodeDescriptor GenerateDescriptor() {
  NodeDescriptor d;
  d.type = "generate";
  d.kind = NodeKind::kSource;
  d.summary = "makes a stream of media events from a seed, with planted anomalies";
  d.doc =
      "Preset `media`: people watch, like, comment on and share the videos of a few channels. View velocity decays by "
      "a power\n"
      "law since publication; each country has its daily and weekly rhythm; every request has an HTTP status, a "
      "latency and an\n"
      "edge that served it. Planted are surges and drops of views, engagement collapses, bursts of 5xx answers and "
      "bot\n"
      "traffic; `truth` writes what, where, when and how strong, for judging detectors. Nothing in a row gives it "
      "away.\n"
      "\n"
      "Columns: at timestamp, event_id int64, kind string (view, like, comment, share), channel, video_id, "
      "published_at\n"
      "timestamp, country, device, edge, user, status int64, latency_ms float64, watch_seconds float64 (null unless a "
      "view that\n"
      "worked). Event times are in order within 2 s (`time: {field: at, lateness: 5s}`).\n"
      "\n"
      "Each event is a function of the seed and its id, so any parallelism and any restart give the same rows.";
  d.example =
      "events:\n  type: generate\n  preset: media\n  seed: 7\n  events: 1000000\n  truth: out/truth.ndjson\n  time: "
      "{field: at, lateness: 5s}";
  OptionSpec preset = Option("preset", OptionKind::kEnum, "media", "What to make.");
  preset.enum_values = {"media"};
  OptionSpec seed = Option("seed", OptionKind::kInt, "1", "Decides everything random: names, volumes, plants, rows.");
  seed.min = 0;
  OptionSpec events = Option("events", OptionKind::kInt, "1000000", "How many in all; 0: endless.");
  events.min = 0;
  OptionSpec rate = Option("rate", OptionKind::kString, "unlimited",
                           "Events per second of the clock, as in `10000/s`, `600/min`, or `unlimited`.");
  rate.state = StateEffect::kNone;
  OptionSpec truth = Option("truth", OptionKind::kPath, "", "Write what was planted to this file, as ndjson.");
  truth.state = StateEffect::kNone;
  OptionSpec start = Option("start", OptionKind::kTime, "2026-03-02T00:00:00Z", "Event time of the first event.");
  OptionSpec span =
      Option("span", OptionKind::kDuration, "",
             "Event time that `events` cover; default 60h. Endless: length of one cycle of plants, default 1w.");
  span.min = 60e6;
  span.max = 90 * 86400e6;
  OptionSpec channels = Option("channels", OptionKind::kInt, "8", "Number of channels.");
  channels.min = 1;
  channels.max = 64;
  OptionSpec videos = Option("videos", OptionKind::kInt, "5", "Videos per channel.");
  videos.min = 1;
  videos.max = 64;
  OptionSpec plants = Option("plants", OptionKind::kFloat, "1",
                             "How many anomalies: 1 is 32 in 60 h, 0 is none, for measuring false alarms.");
  plants.min = 0;
  plants.max = 3;
  d.options = {preset, seed, events, rate, truth, start, span, channels, videos, plants};
  d.make_source = MakeGenerate;
  return d;
}

}  // namespace freshet
