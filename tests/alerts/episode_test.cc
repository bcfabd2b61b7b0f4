// The life of one key's condition, alone.
#include "operators/alert/episode.h"

#include <doctest/doctest.h>

#include "engine/base/rng.h"
#include "tests/alerts/episode_oracle.h"

namespace freshet::testing {
namespace {

class Driver {
 public:
  explicit Driver(EpisodeOptions options) : options_(options) {}
  void Time(int64_t now) { Tell(episode_.OnTime(now, options_)); }
  /// All deadlines up to then.
  void Advance(int64_t now) {
    for (auto next = episode_.Deadline(options_); next && *next <= now; next = episode_.Deadline(options_)) Time(*next);
  }
  void Row(EpisodeInput row) {
    Time(row.time_us);
    bool started = false;
    const auto event = episode_.OnRow(row, options_, &started);
    if (started) start_row_ = rows_;
    ++rows_;
    Tell(event);
  }
  void Row(int64_t time, bool condition, uint8_t severity = 2, std::optional<double> value = {}) {
    Row({time, condition, severity, value});
  }
  void Reload() {
    ByteSink sink;
    episode_.Encode(sink);
    const std::string bytes = sink.Take();
    episode_ = Episode();
    ByteSource source(bytes);
    REQUIRE(episode_.Decode(source));
    REQUIRE(source.remaining() == 0);
  }
  const Episode& episode() const { return episode_; }
  const EpisodeOptions& options() const { return options_; }
  const std::vector<Told>& told() const { return told_; }

 private:
  void Tell(const std::optional<EpisodeEvent>& event) {
    if (!event) return;
    told_.push_back({event->firing, event->time_us, episode_.started_us(), event->firing ? 0 : episode_.ended_us(),
                     episode_.peaked_us(), episode_.peak(), episode_.has_peak(), episode_.severity(), start_row_});
  }
  const EpisodeOptions options_;
  Episode episode_;
  std::vector<Told> told_;
  size_t rows_ = 0;
  size_t start_row_ = 0;
};

TEST_CASE("Episode_RandomRows_EqualTheSlowOracle") {
  size_t events = 0, longest = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto duration = [&](uint64_t n) { return rng.Below(2) == 0 ? 0 : static_cast<int64_t>(1 + rng.Below(n)); };
    const EpisodeOptions options{duration(12), duration(12), duration(20)};
    const uint64_t truth = 1 + rng.Below(9);
    std::vector<EpisodeInput> rows;
    int64_t now = 100;
    for (uint64_t n = rng.Below(60); n > 0; --n) {
      now += static_cast<int64_t>(rng.Below(5));  // several rows at one moment, too
      EpisodeInput row{now, rng.Below(10) < truth, static_cast<uint8_t>(1 + rng.Below(4)), {}};
      if (rng.Below(4) > 0) row.value = rng.Below(10) == 0 ? NAN : static_cast<double>(rng.Below(9)) - 4;
      rows.push_back(row);
    }
    Driver driver(options);
    int64_t time = 0;
    for (const EpisodeInput& row : rows) {
      while (rng.Below(2) == 0 && time < row.time_us)
        driver.Time(time += 1 + static_cast<int64_t>(rng.Below(3)) % (row.time_us - time));
      if (rng.Below(4) == 0) driver.Reload();
      driver.Row(row);
      time = row.time_us;
    }
    const int64_t horizon = now + static_cast<int64_t>(rng.Below(40));
    // One call, at most one event: deadlines may follow each other only when rows come between.
    driver.Time(horizon);
    const size_t count = driver.told().size();
    const std::vector<Told> expected = EpisodesOf(rows, options, horizon);
    REQUIRE(driver.told() == expected);
    driver.Time(horizon);  // at most the end of a cooldown is left
    CHECK(driver.told().size() == count);
    CHECK(driver.episode().Deadline(options).value_or(INT64_MAX) > horizon);
    events += expected.size();
    longest = std::max(longest, expected.size());
    for (size_t i = 0; i < expected.size(); ++i) REQUIRE(expected[i].firing == (i % 2 == 0));
  }
  MESSAGE("events ", events, ", at most ", longest, " of one key");
  CHECK(events > 5000);
}

TEST_CASE("Episode_Pending_FiresAtItsDeadlineOnce") {
  Driver d({10, 0, 0});
  d.Row(100, true);
  CHECK(d.episode().phase() == Episode::Phase::kPending);
  CHECK(d.episode().Deadline(d.options()) == 110);
  d.Row(105, true, 4, -7.0);
  d.Time(109);
  CHECK(d.told().empty());
  d.Time(200);
  REQUIRE(d.told().size() == 1);
  CHECK(d.told()[0] == Told{true, 110, 100, 0, 105, -7, true, 4, 0});
  CHECK_FALSE(d.episode().Deadline(d.options()));
  d.Time(300);
  CHECK(d.told().size() == 1);
}

TEST_CASE("Episode_PendingThatFails_TellsNothingAndStartsAnew") {
  Driver d({10, 0, 50});
  d.Row(100, true);
  d.Row(109, false);
  CHECK(d.episode().Forgettable(109, d.options()));
  d.Row(110, true);  // no cooldown after what never fired
  d.Time(119);
  CHECK(d.told().empty());
  d.Time(120);
  REQUIRE(d.told().size() == 1);
  CHECK(d.told()[0].started_us == 110);
}

TEST_CASE("Episode_FalseAtTheDeadlineItself_FiresFirst") {
  Driver d({10, 0, 0});
  d.Row(100, true);
  d.Row(110, false);
  REQUIRE(d.told().size() == 2);
  CHECK(d.told()[0].firing);
  CHECK(d.told()[1].time_us == 110);
}

TEST_CASE("Episode_KeepFiring_SurvivesShortGapsAndEndsWhereItBeganToFail") {
  Driver d({0, 10, 0});
  d.Row(100, true, 1);
  d.Row(105, false);
  d.Row(114, true, 3);  // back in time
  d.Row(120, false);
  d.Row(125, false);
  CHECK(d.episode().Deadline(d.options()) == 130);
  d.Row(130, true);  // timers first: one has ended, another begins
  REQUIRE(d.told().size() == 3);
  CHECK(d.told()[1] == Told{false, 130, 100, 120, 100, 0, false, 3, 0});
  CHECK(d.told()[2].firing);
  CHECK(d.told()[2].severity == 2);  // nothing is left of the last one
}

TEST_CASE("Episode_Cooldown_HoldsBackAndIsForgotten") {
  Driver d({0, 0, 50});
  d.Row(100, true);
  d.Row(110, false);
  CHECK_FALSE(d.episode().Forgettable(159, d.options()));
  CHECK(d.episode().Deadline(d.options()) == 160);
  d.Row(159, true);
  CHECK(d.told().size() == 2);
  Driver later = d;
  d.Row(160, true);
  CHECK(d.told().size() == 3);
  later.Time(160);
  CHECK(later.told().size() == 2);
  CHECK_FALSE(later.episode().Deadline(later.options()));
  CHECK(later.episode().Forgettable(160, later.options()));
}

TEST_CASE("Episode_TwoStartsAtOneMoment_AreOne") {
  Driver d({0, 0, 0});
  d.Row(100, true);
  d.Row(100, false);
  d.Row(100, true);
  d.Row(100, false);
  CHECK(d.told().size() == 2);
  CHECK_FALSE(d.episode().Forgettable(100, d.options()));
  d.Row(101, true);
  CHECK(d.told().size() == 3);
}

TEST_CASE("Episode_RowsBeforeTheSilenceThatTheEndOfInputBegan_EndNothingBeforeItStarts") {
  Driver d({.no_data = NoData::kFire, .no_data_after_us = 10});
  d.Row(100, false);
  d.Time(INT64_MAX - 1);  // the end
  d.Row(104, true, 4, 7.0);
  d.Row(105, false);
  REQUIRE(d.told().size() == 2);
  CHECK(d.told()[0] == Told{true, 110, 110, 0, 110, 0, false, 2, 0});
  CHECK(d.told()[1] == Told{false, 105, 110, 110, 110, 7, true, 4, 0});
}

/// As `alert` does it, reloaded at each row.
std::vector<Told> Played(const std::vector<EpisodeInput>& rows, const EpisodeOptions& options, int64_t horizon_us) {
  Driver driver(options);
  for (const EpisodeInput& row : rows) {
    driver.Advance(row.time_us);
    driver.Reload();
    driver.Row(row);
  }
  driver.Advance(horizon_us);
  return driver.told();
}

std::vector<EpisodeInput> RandomRows(Rng& rng, int64_t step_max, bool linger) {
  std::vector<EpisodeInput> rows;
  int64_t now = 100;
  for (uint64_t n = rng.Below(50); n > 0; --n) {
    now += 1 + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(step_max)));
    EpisodeInput row{now, rng.Below(2) == 0, static_cast<uint8_t>(1 + rng.Below(4)), {}};
    if (rng.Below(3) > 0) row.value = static_cast<double>(rng.Below(9)) - 4;
    row.lingers = linger && !row.condition && rng.Below(2) == 0;
    rows.push_back(row);
  }
  return rows;
}

TEST_CASE("Episode_Hysteresis_EqualsATriggerInFrontOfPlainRows") {
  size_t events = 0, lingered = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options;
    options.for_us = static_cast<int64_t>(rng.Below(8));
    options.keep_firing_for_us = static_cast<int64_t>(rng.Below(8));
    const std::vector<EpisodeInput> rows = RandomRows(rng, 5, true);
    std::vector<EpisodeInput> plain = rows;
    bool on = false;
    for (EpisodeInput& row : plain) {
      on = row.condition || (on && row.lingers);
      lingered += on && !row.condition ? 1 : 0;
      row.condition = on;
      row.lingers = false;
    }
    // Without cooldown nothing else decides whether an episode is on.
    const auto told = Played(rows, options, 10000);
    events += told.size();
    REQUIRE(told == EpisodesOf(plain, options, 10000));
  }
  CHECK(events > 3000);
  CHECK(lingered > 1000);
}

TEST_CASE("Episode_SilenceThatResolves_IsAFalseRowAtTheDeadline") {
  size_t events = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options, plain_options;
    options.for_us = plain_options.for_us = static_cast<int64_t>(rng.Below(12));
    options.cooldown_us = plain_options.cooldown_us = rng.Below(2) == 0 ? 0 : static_cast<int64_t>(rng.Below(30));
    options.no_data = NoData::kResolve;
    options.no_data_after_us = 1 + static_cast<int64_t>(rng.Below(10));
    std::vector<EpisodeInput> rows = RandomRows(rng, 14, false), plain;
    for (size_t i = 0; i < rows.size(); ++i) {
      plain.push_back(rows[i]);
      const int64_t next = i + 1 < rows.size() ? rows[i + 1].time_us : 10000;
      const int64_t silent = rows[i].time_us + options.no_data_after_us;
      if (silent <= next) plain.push_back({silent, false, 0, {}});
    }
    auto told = Played(rows, options, 10000), expected = EpisodesOf(plain, plain_options, 10000);
    for (Told& t : expected) t.start_row = 0;
    for (Told& t : told) t.start_row = 0;
    events += told.size();
    REQUIRE(told == expected);
  }
  CHECK(events > 3000);
}

TEST_CASE("Episode_SilenceThatFires_OneEpisodePerGapUntilTheNextRow") {
  size_t silent_count = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options;
    options.no_data = NoData::kFire;
    options.no_data_after_us = 1 + static_cast<int64_t>(rng.Below(10));
    options.no_data_severity = 4;
    const std::vector<EpisodeInput> rows = RandomRows(rng, 14, false);
    // With no waiting times an episode is a run of true rows, or a gap after a false one (and true rows behind it).
    std::vector<EpisodeInput> plain;
    for (size_t i = 0; i < rows.size(); ++i) {
      plain.push_back(rows[i]);
      const int64_t next = i + 1 < rows.size() ? rows[i + 1].time_us : 10000;
      const int64_t silent = rows[i].time_us + options.no_data_after_us;
      if (rows[i].condition || silent > next) continue;
      plain.push_back({silent, true, 4, {}});
      ++silent_count;
    }
    auto told = Played(rows, options, 10000), expected = EpisodesOf(plain, {}, 10000);
    for (Told& t : expected) t.start_row = 0;
    for (Told& t : told) t.start_row = 0;
    REQUIRE(told == expected);
  }
  CHECK(silent_count > 3000);
}

TEST_CASE("Episode_HugeDurations_DoNotOverflow") {
  Driver d({INT64_MAX, 0, INT64_MAX});
  d.Row(100, true);
  d.Time(INT64_MAX - 1);
  CHECK(d.told().empty());
}

TEST_CASE("Episode_DamagedBytes_AreRefused") {
  Driver d({10, 0, 0});
  d.Row(100, true);
  ByteSink sink;
  d.episode().Encode(sink);
  const std::string bytes = sink.Take();
  Episode episode;
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteSource source(std::string_view(bytes).substr(0, size));
    CHECK_FALSE(episode.Decode(source));
  }
  for (const size_t at : {size_t{0}, size_t{2}}) {  // phase, severity
    std::string wrong = bytes;
    wrong[at] = 9;
    ByteSource source(wrong);
    CHECK_FALSE(episode.Decode(source));
  }
}

}  // namespace
}  // namespace freshet::testing
