#include "connectors/generate/generate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "connectors/format/row_writer.h"
#include "engine/base/fault_env.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {

MediaOptions Small(uint64_t seed, int64_t events = 30000) {
  MediaOptions options;
  options.seed = seed;
  options.event_count = events;
  return options;
}

std::shared_ptr<MediaModel> Model(const MediaOptions& options) { return std::make_shared<MediaModel>(options); }

Batch Decode(Decoder* decoder, const SchemaRef& schema, int64_t first, int64_t count) {
  RawChunk chunk;
  chunk.numbers[0] = first;
  chunk.numbers[1] = count;
  DecodedBlock block;
  decoder->Decode(chunk, &block);
  REQUIRE(block.row_count == count);
  REQUIRE(block.record_count == count);
  return Batch(schema, block.columns, block.row_count, RowMeta{});
}

/// Calls `row(rows, i)` for every event of a model's first world.
template <class Visit>
void ForEach(const std::shared_ptr<MediaModel>& model, Visit&& visit) {
  MediaGenerator generator(model);
  MediaRows rows;
  for (int64_t at = 0; at < model->options().event_count;) {
    at += generator.Generate(at, 4096, &rows);
    for (size_t i = 0; i < static_cast<size_t>(rows.size()); ++i) visit(rows, i);
  }
}

TEST_CASE("Generate_AnyChunksAndOrder_SameRows") {
  const auto model = Model(Small(3));
  const SchemaRef schema = MediaSchema();
  RowHash expected;
  const auto whole = MakeGenerateDecoder(model, schema);
  for (int64_t at = 0; at < 30000; at += 3000) expected.Add(Decode(whole.get(), schema, at, 3000));

  RowHash small;
  const auto decoder = MakeGenerateDecoder(Model(Small(3)), schema);
  for (int64_t at = 0; at < 30000; at += 77)
    small.Add(Decode(decoder.get(), schema, at, std::min<int64_t>(77, 30000 - at)));
  CHECK(small.value() == expected.value());

  // Two decoders that take turns from the back, as parallel lanes might.
  std::map<int64_t, Batch> pieces;
  const auto a = MakeGenerateDecoder(model, schema);
  const auto b = MakeGenerateDecoder(model, schema);
  for (int64_t at = 29000; at >= 0; at -= 1000) pieces[at] = Decode((at / 1000 % 2 ? a : b).get(), schema, at, 1000);
  RowHash turns;
  for (const auto& [at, batch] : pieces) turns.Add(batch);
  CHECK(turns.value() == expected.value());

  RowHash other;
  const auto other_seed = MakeGenerateDecoder(Model(Small(4)), schema);
  for (int64_t at = 0; at < 30000; at += 3000) other.Add(Decode(other_seed.get(), schema, at, 3000));
  CHECK(other.value() != expected.value());
}

TEST_CASE("Generate_FewerColumns_SameValues") {
  const auto model = Model(Small(5));
  const SchemaRef some = test::MakeSchema({{"video_id", TypeId::kString}, {"watch_seconds", TypeId::kFloat64}});
  const Batch all = Decode(MakeGenerateDecoder(model, MediaSchema()).get(), MediaSchema(), 100, 500);
  const Batch few = Decode(MakeGenerateDecoder(model, some).get(), some, 100, 500);
  RowHash a;
  RowHash b;
  a.Add(all.WithColumns(some, {all.column(4), all.column(12)}));
  b.Add(few);
  CHECK(a.value() == b.value());
}

TEST_CASE("Generate_EventTimes_CoverTheSpanNearlyInOrder") {
  const auto model = Model(Small(1, 200000));
  const auto world = model->World(0);
  int64_t latest = 0;
  int64_t lag = 0;
  int64_t first = 0;
  ForEach(model, [&](const MediaRows& rows, size_t i) {
    if (first == 0) first = rows.time_us[i];
    lag = std::max(lag, latest - rows.time_us[i]);
    latest = std::max(latest, rows.time_us[i]);
  });
  CHECK(lag < 2000000);
  CHECK(std::abs(first - world->start().us) < 60000000);
  CHECK(std::abs(latest - world->start().us - int64_t{60} * 3600 * 1000000) < 60000000);
}

TEST_CASE("Generate_NextWorld_ContinuesInTimeWithOtherPlants") {
  const auto model = Model(Small(9, 20000));
  MediaGenerator generator(model);
  MediaRows rows;
  CHECK(generator.Generate(19990, 100, &rows) == 10);  // never across worlds
  const int64_t before = rows.time_us.back();
  CHECK(generator.Generate(20000, 10, &rows) == 10);
  CHECK(rows.time_us.front() > before - 2000000);
  CHECK(rows.time_us.front() < before + 120 * 1000000);
  REQUIRE(!model->Plants(1).empty());
  CHECK(model->Plants(1)[0].start > model->Plants(0).back().start);
}

TEST_CASE("Generate_WithoutPlants_ViewsDecayByThePowerLaw") {
  MediaOptions options = Small(2, 400000);
  options.plants = 0;
  const auto model = Model(options);
  const auto world = model->World(0);
  CHECK(world->plants().empty());
  constexpr int64_t kDayUs = int64_t{86400} * 1000000;
  std::vector<double> days[2] = {std::vector<double>(world->videos().size()),
                                 std::vector<double>(world->videos().size())};
  ForEach(model, [&](const MediaRows& rows, size_t i) {
    const int64_t day = (rows.time_us[i] - world->start().us) / kDayUs;
    if (day < 2 && rows.kind[i] == 0) days[day][rows.video[i]] += 1;
  });
  // Both days have the same rhythm, so their ratio is that of the velocities; checked on what is published before.
  int steep = 0;
  for (size_t v = 0; v < world->videos().size(); ++v) {
    const MediaVideo& video = world->videos()[v];
    if (video.published > world->start()) continue;
    const auto mean = [&](int day) {
      double sum = 0;
      for (int hour = 0; hour < 24; ++hour) {
        const double age =
            static_cast<double>(world->start().us + day * kDayUs - video.published.us) + (hour + 0.5) * 3600e6;
        sum += std::pow(1 + age / video.decay_tau_us, -video.decay_beta);
      }
      return sum;
    };
    const double expected = mean(1) / mean(0);
    const double seen = days[1][v] / days[0][v];
    CAPTURE(v);
    CHECK(std::abs(seen / expected - 1) < 5 * std::sqrt(1 / days[0][v] + 1 / days[1][v]) + 0.03);
    if (expected < 0.9) ++steep;
  }
  CHECK(steep > 5);
}

TEST_CASE("Generate_RhythmAndRates_AreAsDocumented") {
  MediaOptions options = Small(2, 300000);
  options.plants = 0;
  const auto model = Model(options);
  double kinds[kMediaKindCount] = {};
  double hours_in_japan[24] = {};
  double errors = 0;
  double all = 0;
  double bad_watch = 0;
  std::set<uint32_t> users;
  ForEach(model, [&](const MediaRows& rows, size_t i) {
    all += 1;
    kinds[rows.kind[i]] += 1;
    errors += rows.status[i] >= 500 ? 1 : 0;
    users.insert(rows.user[i]);
    const bool watched = rows.kind[i] == 0 && rows.status[i] < 400;
    if (std::isnan(rows.watch_seconds[i]) == watched || rows.watch_seconds[i] < 0 || rows.latency_ms[i] <= 0)
      bad_watch += 1;
    const int64_t hour_utc = rows.time_us[i] / 3600000000 % 24;
    if (std::string(kMediaCountries[rows.country[i]].code) == "JP") hours_in_japan[(hour_utc + 9) % 24] += 1;
  });
  CHECK(bad_watch == 0);
  CHECK(errors / all > 0.003);
  CHECK(errors / all < 0.008);
  CHECK(kinds[1] / kinds[0] == doctest::Approx(0.07).epsilon(0.35));
  CHECK(kinds[1] > kinds[2]);
  CHECK(kinds[2] > kinds[3]);
  CHECK(hours_in_japan[20] > 3 * hours_in_japan[5]);
  CHECK(users.size() > 50000);
}

/// Events of the kind that a plant changes, counted inside it.
struct Measured {
  double affected = 0;
  double errors = 0;
};

TEST_CASE("Generate_EachPlant_ShowsInTheRowsAsMuchAsTheTruthSays") {
  for (uint64_t seed : {uint64_t{1}, uint64_t{42}}) {
    CAPTURE(seed);
    const auto model = Model(Small(seed, 1000000));
    const std::vector<Plant> plants = model->Plants();
    CHECK(plants.size() >= 25);
    CHECK(plants.size() <= 40);
    std::vector<Measured> measured(plants.size());
    std::set<PlantKind> kinds;
    ForEach(model, [&](const MediaRows& rows, size_t i) {
      const MediaVideo& video = rows.world->videos()[rows.video[i]];
      for (size_t p = 0; p < plants.size(); ++p) {
        const Plant& plant = plants[p];
        if (rows.time_us[i] < plant.start.us) break;  // sorted by start
        if (rows.time_us[i] >= plant.end.us) continue;
        if (plant.video >= 0 && plant.video != rows.video[i]) continue;
        if (plant.channel >= 0 && plant.channel != video.channel) continue;
        if (plant.edge >= 0 && plant.edge != rows.edge[i]) continue;
        if (plant.kind == PlantKind::kErrorBurst) {
          measured[p].affected += 1;
          measured[p].errors += rows.status[i] >= 500 ? 1 : 0;
        } else if ((rows.kind[i] == 0) == (plant.kind != PlantKind::kEngagementCollapse)) {
          const bool bots_row =
              rows.country[i] == plant.country && rows.device[i] == plant.device && rows.watch_seconds[i] <= 3;
          if (plant.kind != PlantKind::kBotTraffic || bots_row) measured[p].affected += 1;
        }
      }
    });
    const double scale = [&] {  // what is planted changes the total, which is fixed: a per cent or two
      double sum = 0;
      for (const Plant& plant : plants) {
        if (plant.kind == PlantKind::kSurge || plant.kind == PlantKind::kDrop)
          sum += plant.baseline * (plant.magnitude - 1);
        if (plant.kind == PlantKind::kBotTraffic) sum += plant.baseline * plant.magnitude;
      }
      return 1e6 / (1e6 + sum);
    }();
    for (size_t p = 0; p < plants.size(); ++p) {
      const Plant& plant = plants[p];
      kinds.insert(plant.kind);
      CAPTURE(PlantLine(*model->World(0), plant));
      CAPTURE(measured[p].affected);
      CHECK(plant.strength >= 7);
      if (plant.kind == PlantKind::kErrorBurst) {
        const double share = measured[p].errors / measured[p].affected;
        CHECK(std::abs(share - plant.magnitude) < 5 * std::sqrt(plant.magnitude / measured[p].affected) + 0.01);
      } else {
        const double expected = plant.baseline * plant.magnitude * scale;
        CHECK(std::abs(measured[p].affected - expected) < 5 * std::sqrt(expected) + 0.05 * expected + 5);
      }
    }
    CHECK(kinds.size() == 5);
  }
}

TEST_CASE("Generate_Seeds_ChangeWhichAndWhen") {
  std::set<std::string> lines;
  size_t count = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto world = Model(Small(seed, 1000000))->World(0);
    count += world->plants().size();
    for (const Plant& plant : world->plants()) lines.insert(PlantLine(*world, plant));
    CHECK(world->plants().size() >= 25);
    // Plants of one scope keep their distance.
    for (const Plant& a : world->plants())
      for (const Plant& b : world->plants())
        if (&a != &b && a.channel >= 0 && a.channel == b.channel) CHECK((a.end <= b.start || b.end <= a.start));
  }
  CHECK(lines.size() == count);
}

TEST_CASE("GenerateSource_Restored_GoesOnWhereItStood") {
  test::TemporaryDirectory dir;
  GenerateOptions options;
  options.media = Small(1, 10000);
  options.events = 10000;
  options.truth_path = dir / "sub/truth.ndjson";
  const auto model = Model(options.media);
  const auto run = [&](const SourceOpenContext& ctx, int64_t stop_at, std::string* position) {
    const auto source = MakeGenerateSource(model, options);
    REQUIRE(source->Open(ctx).ok());
    int64_t next = ctx.restored.empty() ? 0 : std::stoll(ctx.restored[0].position);
    while (next < stop_at) {
      RawChunk chunk;
      auto outcome = source->Poll({.rows = 999, .bytes = 1 << 20}, &chunk);
      REQUIRE(outcome.ok());
      if (outcome.value() == PollOutcome::kEnd) break;
      CHECK(chunk.numbers[0] == next);
      CHECK(chunk.numbers[1] <= 999);
      CHECK(chunk.row_count_hint == chunk.numbers[1]);
      next += chunk.numbers[1];
      *position = chunk.position_after;
      CHECK(chunk.partition_end == (next == 10000));
    }
    return next;
  };
  std::string position;
  SourceOpenContext ctx;
  ctx.env = Env::Posix();
  const int64_t at = run(ctx, 5000, &position);
  CHECK(at < 10000);
  const std::string truth = Env::Posix()->ReadFile(options.truth_path).value();
  std::string expected;
  for (const Plant& plant : model->Plants()) expected += PlantLine(*model->World(0), plant);
  CHECK(truth == expected);
  CHECK(!truth.empty());
  ctx.restored = {{"events", position, false}};
  CHECK(run(ctx, 1 << 30, &position) == 10000);
  CHECK(Env::Posix()->ReadFile(options.truth_path).value() == truth);
  ctx.restored = {{"events", "x7", false}};
  CHECK(MakeGenerateSource(model, options)->Open(ctx).code() == StatusCode::kDataLoss);
}

TEST_CASE("GenerateSource_Paced_HandsOutWhatTheClockAllows") {
  FaultEnv env(Env::Posix());
  env.FreezeClock(1000000);
  GenerateOptions options;
  options.media = Small(1, 1000000);
  options.events_per_second = 1000;
  const auto source = MakeGenerateSource(Model(options.media), options);
  SourceOpenContext ctx;
  ctx.env = &env;
  REQUIRE(source->Open(ctx).ok());
  RawChunk chunk;
  CHECK(source->Poll({.rows = 5000, .bytes = 1 << 20}, &chunk).value() == PollOutcome::kNothing);
  env.AdvanceMicros(500000);
  CHECK(source->Poll({.rows = 5000, .bytes = 1 << 20}, &chunk).value() == PollOutcome::kChunk);
  CHECK(chunk.numbers[1] == 500);
  CHECK(source->Poll({.rows = 5000, .bytes = 1 << 20}, &chunk).value() == PollOutcome::kNothing);
}

TEST_CASE("ParseEventRate_ReadsUnitsAndRefusesNonsense") {
  CHECK(ParseEventRate("unlimited").value() == 0);
  CHECK(ParseEventRate("10000/s").value() == 10000);
  CHECK(ParseEventRate("600/min").value() == doctest::Approx(10));
  CHECK(ParseEventRate("2.5").value() == 2.5);
  for (const char* bad : {"fast", "0", "-3/s", "10/day", "inf", "nan"}) CHECK_MESSAGE(!ParseEventRate(bad).ok(), bad);
}

}  // namespace
}  // namespace freshet
