// What partitions make of time together: SEMANTICS.md §2.4. And who is said to have made rows late.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/base/rng.h"
#include "engine/flow/time_stage.h"
#include "tests/flow/time_spec.h"

namespace freshet {
namespace {

TEST_CASE("TimeStage_IdlePartitionReturns_JoinsAtTheMergedWatermark") {
  const TimeSpec spec = Spec(10);
  for (const bool restart : {false, true}) {
    CAPTURE(restart);
    TimeStage stage(&spec);
    stage.EnsurePartition(1);
    int64_t watermark = 0;
    const auto judge = [&](uint32_t p, int64_t t) {
      REQUIRE(stage.Judge(p, t, Ordinal::Of(p, 0), 0, 0, &watermark) == TimeStage::Verdict::kAccept);
      return watermark;
    };
    judge(0, 100);
    CHECK(stage.watermark() == EventTime::Min());
    judge(1, 50);
    CHECK(stage.watermark() == EventTime{40});
    CHECK(stage.MarkIdle(1));
    CHECK_FALSE(stage.MarkIdle(1));
    CHECK(stage.watermark() == EventTime{90});
    judge(0, 300);
    CHECK(stage.watermark() == EventTime{290});
    if (restart) {
      ByteSink sink;
      stage.Encode(sink);
      const std::string bytes = sink.Take();
      stage = TimeStage(&spec);
      ByteSource source(bytes);
      REQUIRE(stage.Decode(source, std::make_shared<const Schema>()));
      CHECK(stage.watermark() == EventTime{290});
    }
    // Windows up to 290 may be closed: a row of 60 is late, by its own watermark.
    CHECK(judge(1, 60) == 290);
    CHECK(stage.watermark() == EventTime{290});
    CHECK(stage.MarkIdle(0));
    CHECK(stage.MarkIdle(1));
    CHECK(stage.all_idle());
    CHECK(stage.watermark() == std::nullopt);
    CHECK(judge(1, 1000) == 290);
    CHECK(stage.watermark() == EventTime{990});
  }
}

TEST_CASE("TimeStage_PartitionComesLaterOrGrowsAfterItsEnd_JoinsAtTheMergedWatermark") {
  const TimeSpec spec = Spec(10);
  for (const bool simple : {false, true}) {
    CAPTURE(simple);
    TimeStage stage(&spec);
    const auto judge = [&](uint32_t p, int64_t t) {
      int64_t watermark = 0;
      if (simple) {
        stage.JudgeSimple(p, &t, 1, &watermark, Ordinal::Of(p, 0), 0);
      } else {
        REQUIRE(stage.Judge(p, t, Ordinal::Of(p, 0), 0, 0, &watermark) == TimeStage::Verdict::kAccept);
      }
      return watermark;
    };
    stage.EnsurePartition(0);
    judge(0, 100);
    CHECK(stage.watermark() == EventTime{90});
    // A file that a pattern found later: windows up to 90 may be closed.
    stage.EnsurePartition(1);
    CHECK(judge(1, 60) == 90);
    CHECK(judge(1, 200) == 90);
    CHECK(judge(1, 200) == 190);
    judge(0, 300);
    CHECK(stage.watermark() == EventTime{190});
    stage.EndPartition(1);
    CHECK(stage.watermark() == EventTime{290});
    // It grew after its end, and holds time back again.
    CHECK(judge(1, 210) == 290);
    judge(0, 500);
    CHECK(stage.watermark() == EventTime{290});
  }
}

TEST_CASE("TimeStage_MergedWatermark_IsTheLowestOfLivePartitionsAndNeverFalls") {
  const TimeSpec spec = Spec(5);
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    TimeStage stage(&spec);
    const auto partitions = static_cast<uint32_t>(1 + rng.Below(4));
    stage.EnsurePartition(partitions - 1);
    std::vector<int64_t> frontier(partitions, INT64_MIN);
    std::vector<bool> ended(partitions);
    int64_t merged = INT64_MIN;
    for (int i = 0; i < 400; ++i) {
      const auto p = static_cast<uint32_t>(rng.Below(partitions));
      if (ended[p]) continue;
      if (rng.Below(100) == 0) {
        stage.EndPartition(p);
        ended[p] = true;
      } else {
        const int64_t t = i * 10 + static_cast<int64_t>(rng.Below(60));
        int64_t watermark = 0;
        REQUIRE(stage.Judge(p, t, Ordinal::Of(p, 0), 0, 0, &watermark) == TimeStage::Verdict::kAccept);
        REQUIRE(watermark >= merged);  // no row meets a closed window unless it is late by its own watermark
        frontier[p] = std::max(frontier[p], t);
      }
      std::optional<int64_t> lowest;
      for (uint32_t q = 0; q < partitions; ++q) {
        const int64_t own = frontier[q] == INT64_MIN ? INT64_MIN : frontier[q] - 5;
        if (!ended[q]) lowest = std::min(lowest.value_or(INT64_MAX), own);
      }
      const std::optional<EventTime> actual = stage.watermark();
      REQUIRE(actual.has_value() == lowest.has_value());
      if (!lowest) break;
      merged = std::max(merged, *lowest);
      REQUIRE(actual->us == merged);
    }
  }
}

TEST_CASE("TimeStage_PartitionThatComesLater_DoesNotTurnTimeBack") {
  const TimeSpec spec = Spec(5);
  TimeStage stage(&spec);
  stage.EnsurePartition(0);
  int64_t watermark = 0;
  REQUIRE(stage.Judge(0, 100, {}, 0, 0, &watermark) == TimeStage::Verdict::kAccept);
  CHECK(stage.watermark() == EventTime{95});
  stage.EnsurePartition(1);
  CHECK(stage.watermark() == EventTime{95});
}

TEST_CASE("TimeStage_RowsAfterIdle_AreToldFromOnesThatAreLateByThemselves") {
  const TimeSpec spec = Spec(10);
  for (const bool simple : {false, true}) {
    CAPTURE(simple);
    TimeStage stage(&spec);
    stage.EnsurePartition(1);
    const auto judge = [&](uint32_t p, int64_t t) {
      int64_t watermark = 0;
      if (simple) {
        stage.JudgeSimple(p, &t, 1, &watermark, Ordinal::Of(p, 0), 0);
      } else {
        REQUIRE(stage.Judge(p, t, Ordinal::Of(p, 0), 0, 0, &watermark) == TimeStage::Verdict::kAccept);
      }
      return watermark;
    };
    judge(0, 100);
    judge(1, 50);
    CHECK(stage.MarkIdle(1));
    CHECK(stage.watermark() == EventTime{90});
    CHECK(stage.joined(1) == EventTime::Min());
    CHECK(judge(1, 60) == 90);
    CHECK(stage.joined(1) == EventTime{90});
    CHECK(stage.lateness().after_idle_count == 1);
    CHECK(judge(1, 200) == 90);
    CHECK(judge(1, 120) == 190);  // late behind its own row of 200
    const TimeStage::Lateness lateness = stage.lateness();
    CHECK(lateness.older_row_count == 2);
    CHECK(lateness.after_idle_count == 1);
    CHECK(lateness.worst.late_count == 1);
    CHECK(lateness.worst.time_us == 200);
    // One that was silent but kept up has joined nothing.
    judge(0, 400);
    CHECK(stage.watermark() == EventTime{190});
    CHECK(stage.MarkIdle(0));
    CHECK(judge(0, 395) == 390);
    CHECK(stage.joined(0) == EventTime::Min());
  }
}

TEST_CASE("LateWarning_NamesTheRowAndTheOptions") {
  const TimeSpec spec = Spec(60 * kSecond);
  TimeStage::Lateness late;
  late.older_row_count = 39202;
  late.row_count = 39244;
  late.worst = {39190, 24 * kHour, 45, Ordinal::Of(0, 44), 1572566400 * kSecond};
  CHECK(
      LateWarning("edits", "wiki.ndjson", true, spec, late) ==
      "source `edits`: 39,202 of 39,244 rows are older than the watermark. The row with most of them behind it, "
      "39,190, is record 44 (line 45 or after) of wiki.ndjson: it moved time by 1d to 2019-11-01T00:00:00Z. If it is a "
      "stray, set `time: {max_jump: 1h}`; if the rows are really that late, raise `time: {lateness: …}` above 1m.");
  CHECK(LateWarning("edits", "", false, spec, late).find("max_future") != std::string::npos);
  late.worst.jump_us = 0;
  CHECK(LateWarning("edits", "", true, spec, late).find("it is the first") != std::string::npos);
  const TimeSpec guarded = Spec(60 * kSecond, kHour);
  CHECK(LateWarning("edits", "", true, guarded, late).find("below 1h") != std::string::npos);
  late.after_idle_count = 500;
  late.worst = {};
  const std::string idle = LateWarning("edits", "", false, spec, late);
  CHECK(idle.find("500 came from a partition that was back after a silence") != std::string::npos);
  CHECK(idle.find("raise `time: {idle: …}` above 30s") != std::string::npos);
  CHECK(idle.find("max_jump") == std::string::npos);
}

TEST_CASE("TimeStage_OneStrayFirstOrInTheMiddle_IsTheRowThatIsNamed") {
  for (const size_t at : {size_t{0}, size_t{250}}) {
    CAPTURE(at);
    const TimeSpec spec = Spec(5 * kSecond);
    TimeStage stage(&spec);
    stage.EnsurePartition(0);
    Rng rng(7);
    std::vector<int64_t> times;
    for (int64_t i = 0; i < 2000; ++i)
      times.push_back((1000 + i) * kSecond - static_cast<int64_t>(rng.Below(10)) * kSecond);
    times[at] = 50 * kHour;
    std::vector<int64_t> watermarks(times.size());
    for (size_t from = 0; from < times.size(); from += 100)
      stage.JudgeSimple(0, times.data() + from, 100, watermarks.data() + from, {from}, static_cast<int64_t>(from) + 1);
    CHECK(stage.too_late());
    CHECK(stage.lateness().worst.ordinal.row() == at);
    CHECK(stage.lateness().worst.time_us == 50 * kHour);
  }
}

}  // namespace
}  // namespace freshet
