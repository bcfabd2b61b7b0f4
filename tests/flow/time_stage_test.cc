// Each row's own watermark, strays and waiting, in one partition: SEMANTICS.md §2, against a slow reading of it.
#include "engine/flow/time_stage.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "engine/base/rng.h"
#include "tests/flow/time_spec.h"

namespace freshet {
namespace {

enum class Fate : uint8_t { kAccepted, kAhead, kOutOfRange };
struct Judged {
  uint64_t row = 0;
  Fate fate = Fate::kAccepted;
  int64_t watermark_us = 0;  ///< of accepted rows
  bool operator==(const Judged&) const = default;
};

TimeStage::Row WaitingRow(int64_t time_us, uint64_t row) {
  TimeStage::Row r;
  r.time_us = time_us;
  r.ordinal = {row};
  r.line = static_cast<int64_t>(row) + 1;
  return r;
}

/// One partition through a TimeStage, as the source cell drives it.
class Driver {
 public:
  explicit Driver(const TimeSpec& spec) : spec_(&spec), stage_(spec_) { stage_.EnsurePartition(0); }

  void Row(int64_t time_us, int64_t now_us = 0) {
    const uint64_t row = next_++;
    int64_t watermark = 0;
    switch (stage_.Judge(0, time_us, {row}, static_cast<int64_t>(row) + 1, now_us, &watermark)) {
      case TimeStage::Verdict::kAccept:
        out_.push_back({row, Fate::kAccepted, watermark});
        return;
      case TimeStage::Verdict::kOutOfRange:
        out_.push_back({row, Fate::kOutOfRange, 0});
        return;
      case TimeStage::Verdict::kTimestampAhead:
        out_.push_back({row, Fate::kAhead, 0});
        return;
      case TimeStage::Verdict::kWait:
        break;
    }
    std::vector<std::pair<TimeStage::Row, int64_t>> released;
    std::vector<TimeStage::Row> dead;
    stage_.Wait(0, WaitingRow(time_us, row), &released, &dead);
    Take(released, dead);
  }
  void Settle() {
    std::vector<std::pair<TimeStage::Row, int64_t>> released;
    std::vector<TimeStage::Row> dead;
    stage_.Settle(0, &released, &dead);
    Take(released, dead);
  }
  /// As a checkpoint and a restart would.
  void Reload() {
    ByteSink sink;
    stage_.Encode(sink);
    stage_.EncodeMore(sink);
    const std::string bytes = sink.Take();
    stage_ = TimeStage(spec_);
    ByteSource source(bytes);
    REQUIRE(stage_.Decode(source, std::make_shared<const Schema>()));
    REQUIRE(stage_.DecodeMore(source));
    REQUIRE(source.remaining() == 0);
    ByteSink again;
    stage_.Encode(again);
    stage_.EncodeMore(again);
    REQUIRE(again.Take() == bytes);
  }
  TimeStage& stage() { return stage_; }
  const std::vector<Judged>& out() const { return out_; }
  int64_t Count(Fate fate) const {
    return std::count_if(out_.begin(), out_.end(), [&](const Judged& j) { return j.fate == fate; });
  }

 private:
  void Take(const std::vector<std::pair<TimeStage::Row, int64_t>>& released, const std::vector<TimeStage::Row>& dead) {
    for (const auto& [row, watermark] : released) out_.push_back({row.ordinal.value, Fate::kAccepted, watermark});
    for (const TimeStage::Row& row : dead) out_.push_back({row.ordinal.value, Fate::kAhead, 0});
  }
  const TimeSpec* spec_;
  TimeStage stage_;
  uint64_t next_ = 0;
  std::vector<Judged> out_;
};

/// The rules of §2.1 and §2.2 for one partition, with a look at every pair of rows instead of clever bookkeeping.
std::vector<Judged> Oracle(const std::vector<int64_t>& times, int64_t lateness, std::optional<int64_t> max_jump) {
  std::vector<Judged> out;
  std::optional<int64_t> frontier;
  std::vector<std::pair<int64_t, uint64_t>> waiting;
  const auto accept = [&](int64_t t, uint64_t row) {
    out.push_back({row, Fate::kAccepted, frontier ? *frontier - lateness : INT64_MIN});
    frontier = frontier ? std::max(*frontier, t) : t;
  };
  const auto settle = [&](bool forced) {
    size_t best = 0;
    int64_t start = 0;
    for (const auto& [s, unused] : waiting) {
      const auto size = static_cast<size_t>(std::count_if(
          waiting.begin(), waiting.end(), [&](const auto& w) { return w.first >= s && w.first <= s + *max_jump; }));
      if (size > best || (size == best && s < start)) {
        best = size;
        start = s;
      }
    }
    if (waiting.empty() || (best < 32 && !forced)) return;
    const auto rows = std::exchange(waiting, {});
    std::vector<Judged> dead;
    frontier = std::max(frontier.value_or(start), start);
    for (const auto& [t, row] : rows) {
      if (t > *frontier + *max_jump)
        dead.push_back({row, Fate::kAhead, 0});
      else
        accept(t, row);
    }
    out.insert(out.end(), dead.begin(), dead.end());
  };
  for (uint64_t i = 0; i < times.size(); ++i) {
    if (!max_jump || (frontier && times[i] <= *frontier + *max_jump)) {
      accept(times[i], i);
      continue;
    }
    waiting.push_back({times[i], i});
    settle(waiting.size() >= 1024);
  }
  settle(true);
  return out;
}

/// Rising times with jitter, now and then a stray, now and then a real jump.
std::vector<int64_t> RandomTimes(Rng& rng, size_t count, bool strays_first) {
  std::vector<int64_t> times;
  int64_t now = 1600000000 * kSecond;
  if (strays_first)
    for (uint64_t n = rng.Below(60); n > 0; --n)
      times.push_back(now + static_cast<int64_t>(rng.Below(2000)) * kHour - 1000 * kHour);
  while (times.size() < count) {
    now += static_cast<int64_t>(rng.Below(20)) * kSecond;
    int64_t t = now - static_cast<int64_t>(rng.Below(3 * 60)) * kSecond;
    if (rng.Below(40) == 0) t += static_cast<int64_t>(rng.Below(400)) * kHour - 200 * kHour;
    if (rng.Below(300) == 0) now += static_cast<int64_t>(rng.Below(10)) * kHour;
    times.push_back(t);
  }
  return times;
}

TEST_CASE("TimeStage_RandomRows_EqualTheSlowOracle") {
  int64_t dead = 0, waited = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const std::vector<int64_t> times = RandomTimes(rng, 200 + rng.Below(2500), seed % 3 != 0);
    const int64_t lateness = static_cast<int64_t>(rng.Below(120)) * kSecond;
    const std::optional<int64_t> jump = seed % 5 == 0 ? std::nullopt : std::optional<int64_t>(kHour);
    const TimeSpec spec = Spec(lateness, jump);
    Driver driver(spec);
    for (const int64_t t : times) {
      if (rng.Below(50) == 0) driver.Reload();
      driver.Row(t);
      waited += driver.stage().waiting_count() > 0 ? 1 : 0;
    }
    driver.Settle();
    const std::vector<Judged> expected = Oracle(times, lateness, jump);
    REQUIRE(driver.out().size() == times.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      REQUIRE(driver.out()[i] == expected[i]);
    }
    dead += driver.Count(Fate::kAhead);
    CHECK(driver.stage().waiting_count() == 0);
  }
  MESSAGE("dead ", dead, ", rows that came while others waited ", waited);
  CHECK(dead > 100);
  CHECK(waited > 1000);
}

TEST_CASE("TimeStage_PlainLoop_EqualsJudge") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const std::vector<int64_t> times = RandomTimes(rng, 500, true);
    const TimeSpec spec = Spec(30 * kSecond);
    TimeStage plain(&spec), general(&spec);
    plain.EnsurePartition(0);
    general.EnsurePartition(0);
    REQUIRE(plain.simple());
    for (size_t from = 0; from < times.size();) {
      const size_t count = std::min<size_t>(1 + rng.Below(60), times.size() - from);
      if (rng.Below(10) == 0) {
        plain.watermark();
        general.watermark();
        plain.MarkIdle(0);
        general.MarkIdle(0);
      }
      std::vector<int64_t> watermarks(count);
      plain.JudgeSimple(0, times.data() + from, static_cast<int32_t>(count), watermarks.data(), {from}, 1);
      for (size_t i = 0; i < count; ++i) {
        int64_t watermark = 0;
        REQUIRE(general.Judge(0, times[from + i], {from + i}, 1, 0, &watermark) == TimeStage::Verdict::kAccept);
        REQUIRE(watermarks[i] == watermark);
      }
      from += count;
    }
    CHECK(plain.watermark() == general.watermark());
    const TimeStage::Lateness a = plain.lateness(), b = general.lateness();
    CHECK(a.older_row_count == b.older_row_count);
    CHECK(a.after_idle_count == b.after_idle_count);
    CHECK(a.row_count == b.row_count);
    CHECK(a.worst.late_count == b.worst.late_count);
    CHECK(a.worst.jump_us == b.worst.jump_us);
    CHECK(a.worst.ordinal == b.worst.ordinal);
    CHECK(a.worst.time_us == b.worst.time_us);
    CHECK(plain.joined(0) == general.joined(0));
  }
}

TEST_CASE("TimeStage_MaxJumpAtTheStart_ThirtyTwoRowsSettle") {
  const TimeSpec spec = Spec(60 * kSecond, kHour);
  Driver driver(spec);
  driver.Row(500 * kHour);
  for (int i = 0; i < 31; ++i) driver.Row(100 * kHour + i * kSecond);
  CHECK(driver.out().empty());
  CHECK(driver.stage().waiting_count() == 32);
  CHECK(driver.stage().watermark() == EventTime::Min());
  driver.Row(100 * kHour - 5 * kSecond);
  REQUIRE(driver.out().size() == 33);
  // The frontier begins at the cluster's smallest time, though that row came last.
  CHECK(driver.out()[0] == Judged{1, Fate::kAccepted, 100 * kHour - 65 * kSecond});
  CHECK(driver.out()[31] == Judged{32, Fate::kAccepted, 100 * kHour + 30 * kSecond - 60 * kSecond});
  CHECK(driver.out()[32] == Judged{0, Fate::kAhead, 0});
  CHECK(driver.stage().watermark() == EventTime{100 * kHour - 30 * kSecond});
}

TEST_CASE("TimeStage_MaxJumpInTheMiddle_AcceptedRowsPassWaitingOnes") {
  const TimeSpec spec = Spec(0, kHour);
  Driver driver(spec);
  for (int i = 0; i < 32; ++i) driver.Row(i * kSecond);
  REQUIRE(driver.out().size() == 32);
  driver.Row(9 * kHour);
  driver.Row(40 * kSecond);
  CHECK(driver.out().size() == 33);
  CHECK(driver.stage().waiting_count() == 1);
  driver.Settle();
  // The largest cluster, though it is one row: this is what the end of input or a silence makes of it.
  CHECK(driver.out().back() == Judged{32, Fate::kAccepted, 9 * kHour});
  // A jump that rows follow is a jump.
  for (int i = 0; i < 32; ++i) driver.Row(20 * kHour + i * kSecond);
  CHECK(driver.out().size() == 34 + 32);
  CHECK(driver.stage().watermark() == EventTime{20 * kHour + 31 * kSecond});
}

TEST_CASE("TimeStage_FullBuffer_SettlesByTheLargestCluster") {
  const TimeSpec spec = Spec(0, kHour);
  Driver driver(spec);
  // Strays two hours apart, and five rows that belong together.
  for (int i = 0; i < 1023; ++i) driver.Row(i % 200 == 100 ? 7001 * kHour + i * kSecond : i * 2 * kHour);
  CHECK(driver.stage().waiting_count() == 1023);
  driver.Row(5000 * 2 * kHour);
  CHECK(driver.stage().waiting_count() == 0);
  CHECK(driver.out().size() == 1024);
  CHECK(driver.stage().watermark() == EventTime{7001 * kHour + 900 * kSecond});
  CHECK(driver.Count(Fate::kAhead) == 1);  // the last one only: all others are older
}

TEST_CASE("TimeStage_Bounds_AreInclusive") {
  TimeSpec spec = Spec(0);
  spec.not_before = EventTime{10};
  spec.not_after = EventTime{20};
  spec.max_future = Duration{5};
  Driver driver(spec);
  driver.Row(9, 100);
  driver.Row(10, 100);
  driver.Row(20, 15);
  driver.Row(20, 14);
  driver.Row(21, 100);
  const std::vector<Judged> expected = {{0, Fate::kOutOfRange, 0},
                                        {1, Fate::kAccepted, INT64_MIN},
                                        {2, Fate::kAccepted, 10},
                                        {3, Fate::kAhead, 0},
                                        {4, Fate::kOutOfRange, 0}};
  CHECK(driver.out() == expected);
}

TEST_CASE("TimeStage_TwoClustersOfOneSizeAtTheEnd_TheEarlierIsTaken") {
  const TimeSpec spec = Spec(0, kHour);
  Driver driver(spec);
  for (int i = 0; i < 5; ++i) {
    driver.Row(90 * kHour + i);
    driver.Row(10 * kHour + i);
  }
  driver.Settle();
  CHECK(driver.stage().watermark() == EventTime{10 * kHour + 4});
  CHECK(driver.Count(Fate::kAhead) == 5);
}

TEST_CASE("TimeStage_CutBytes_AreRefused") {
  const TimeSpec spec = Spec(0, kHour);
  Driver driver(spec);
  for (int i = 0; i < 20; ++i) driver.Row(i * 5 * kHour);
  ByteSink sink;
  driver.stage().Encode(sink);
  const std::string bytes = sink.Take();
  for (size_t size = 0; size < bytes.size(); ++size) {
    TimeStage stage(&spec);
    ByteSource source(std::string_view(bytes).substr(0, size));
    REQUIRE_FALSE(stage.Decode(source, std::make_shared<const Schema>()));
  }
}

TEST_CASE("TimeStage_WaitingRowsThatTimeHasCaughtUpWith_DoNotTurnItBack") {
  const TimeSpec spec = Spec(0, kHour);
  Driver driver(spec);
  for (int i = 0; i < 32; ++i) driver.Row(i * kSecond);
  driver.Row(2 * kHour);
  for (int i = 1; i <= 6; ++i) driver.Row(i * kHour / 2);
  CHECK(driver.stage().watermark() == EventTime{3 * kHour});
  driver.Settle();
  CHECK(driver.out().back() == Judged{32, Fate::kAccepted, 3 * kHour});
  CHECK(driver.stage().watermark() == EventTime{3 * kHour});
}

TEST_CASE("TimeStage_SettledOnAStartedPartition_TheLargestClusterMovesTheFrontier") {
  const TimeSpec spec = Spec(10 * kSecond, kHour);
  Driver driver(spec);
  for (int i = 0; i < 32; ++i) driver.Row(i * kSecond);
  driver.Row(50 * kHour);
  for (int i = 0; i < 3; ++i) driver.Row(20 * kHour - i * kSecond);
  driver.Row(9 * kHour);
  driver.Settle();
  const std::vector<Judged> tail(driver.out().end() - 5, driver.out().end());
  CHECK(tail == std::vector<Judged>{{33, Fate::kAccepted, 20 * kHour - 12 * kSecond},
                                    {34, Fate::kAccepted, 20 * kHour - 10 * kSecond},
                                    {35, Fate::kAccepted, 20 * kHour - 10 * kSecond},
                                    {36, Fate::kAccepted, 20 * kHour - 10 * kSecond},
                                    {32, Fate::kAhead, 0}});
}

/// The `time` of every record, in microseconds; empty without data.
std::vector<int64_t> WikipediaTimes() {
  const char* dir = std::getenv("FRESHET_DATA_DIR");
  if (dir == nullptr) return {};
  const std::string path = std::string(dir) + "/events/wikipedia_edits.ndjson";
  std::FILE* pipe = popen(("cat '" + path + "' 2>/dev/null || zcat '" + path + ".gz' 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return {};
  std::vector<int64_t> times;
  std::vector<char> line(1 << 20);
  while (std::fgets(line.data(), static_cast<int>(line.size()), pipe) != nullptr) {
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, millis = 0;
    if (std::sscanf(line.data(), "{\"time\":\"%d-%d-%dT%d:%d:%d.%dZ", &year, &month, &day, &hour, &minute, &second,
                    &millis) != 7)
      continue;
    const std::chrono::sys_days date(std::chrono::year(year) / month / day);
    times.push_back(date.time_since_epoch().count() * 24 * kHour + hour * kHour + (minute * 60 + second) * kSecond +
                    millis * 1000);
  }
  pclose(pipe);
  return times;
}

TEST_CASE("TimeStage_WikipediaEdits_HasTheNumbersOfTheContract") {
  const std::vector<int64_t> times = WikipediaTimes();
  if (times.empty()) {
    MESSAGE("skipped: FRESHET_DATA_DIR has no events/wikipedia_edits.ndjson(.gz)");
    return;
  }
  REQUIRE(times.size() == 39244);
  const auto late = [&](const std::vector<Judged>& rows) {
    return std::count_if(rows.begin(), rows.end(),
                         [&](const Judged& j) { return j.fate == Fate::kAccepted && times[j.row] < j.watermark_us; });
  };
  const TimeSpec with = Spec(60 * kSecond, kHour);
  Driver driver(with);
  for (const int64_t t : times) driver.Row(t);
  driver.Settle();
  CHECK(driver.Count(Fate::kAccepted) == 39203);
  CHECK(driver.Count(Fate::kAhead) == 41);
  CHECK(late(driver.out()) == 4);
  const TimeSpec without = Spec(60 * kSecond);
  Driver plain(without);
  for (const int64_t t : times) plain.Row(t);
  CHECK(late(plain.out()) == 39202);
  CHECK(plain.stage().lateness().older_row_count == 39202);
  CHECK(plain.stage().too_late());
  CHECK(plain.stage().lateness().worst.late_count > 30000);
  CHECK(plain.stage().lateness().worst.ordinal.row() < 45);
}

}  // namespace
}  // namespace freshet
