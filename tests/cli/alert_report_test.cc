// What people say of alerts while nothing runs, and what is shown of them, on a store as a run left it.
#include "engine/cli/alert_report.h"

#include <doctest/doctest.h>

#include "engine/flow/outbox.h"
#include "engine/flow/state_check.h"
#include "operators/alert/alert_cell.h"
#include "tests/cli/program.h"

using namespace freshet::testing;

// What left after the newest checkpoint comes again at the next start: an epoch in between must not make it count as
// done.
TEST_CASE("CommitBetweenRuns_EagerRowsAfterTheCheckpoint_StayUnclaimed") {
  Workshop shop;
  auto store = freshet::OpenRocksDbStore(freshet::Env::Posix(), shop.Path("state"), true);
  REQUIRE(store.ok());
  freshet::Manifest manifest;
  manifest.epoch = {5};
  manifest.pipeline_name = "p";
  manifest.committed_wall_us = 77;
  freshet::EpochRows rows;
  rows.Put(freshet::kEngineTable, 0, "sink/ops", "s");
  REQUIRE((*store)->Commit(manifest, std::move(rows)).ok());
  freshet::Outbox outbox((*store)->outbox(), "ops");
  freshet::Outbox::Changes changes;
  outbox.PutKnown("old", {5, freshet::Outbox::Fate::kDelivered, 1}, &changes);
  outbox.PutKnown("new", {6, freshet::Outbox::Fate::kDelivered, 1}, &changes);
  REQUIRE(outbox.Write(changes, true).ok());
  freshet::EpochRows more;
  more.Put(1, 3, "key", "value");
  REQUIRE(freshet::CommitBetweenRuns(**store, manifest, std::move(more), 99).ok());
  CHECK((**outbox.FindKnown("old")).epoch == 5);
  CHECK((**outbox.FindKnown("new")).epoch == freshet::Outbox::kUnclaimed);
  CHECK((**outbox.FindKnown("new")).written_wall_us == 99);
  const auto now = (*store)->Load();
  REQUIRE(now.ok());
  CHECK((**now).epoch.number == 6);
  CHECK((**now).committed_wall_us == 77);
  CHECK(**(*store)->Get(1, 3, "key") == "value");
}

// An alert that left after the newest checkpoint comes again at the next start, unless an order in between keeps it
// from that: then nobody would ever hear that it is over.
TEST_CASE("ObeyInState_AlertsLeftAfterTheCheckpoint_RefusesWhatCouldKeepThemFromComingAgain") {
  Workshop shop;
  auto store = freshet::OpenRocksDbStore(freshet::Env::Posix(), shop.Path("state"), true);
  REQUIRE(store.ok());
  freshet::AlertCell cell;
  cell.id = 7;
  freshet::EpisodeInput row;
  row.time_us = 1000;
  row.condition = true;
  bool started = false;
  (void)cell.episode.OnRow(row, {}, &started);
  cell.told = true;
  freshet::ByteSink bytes;
  cell.Encode(bytes);
  freshet::Manifest manifest;
  manifest.epoch = {5};
  manifest.pipeline_name = "p";
  manifest.tables = {{"high", "episodes", 1, freshet::AlertCell::kCodec, ""}, {"high", "silenced", 2, 1, ""}};
  freshet::EpochRows rows;
  rows.Put(freshet::kEngineTable, 0, "sink/ops", "s");
  rows.Put(1, 3, "key", bytes.bytes());
  REQUIRE((*store)->Commit(manifest, std::move(rows)).ok());
  freshet::Outbox outbox((*store)->outbox(), "ops");
  const std::string id = freshet::AlertIdText(7);
  const auto say = [&](const std::string& action, const std::string& whom, const std::string& label) {
    freshet::AlertOrder order;
    order.action = action;
    order.alert = whom;
    order.label = label;
    order.until = "2030-01-01T00:00:00Z";
    return freshet::cli::ObeyInState(**store, order, 99).status();
  };
  // Of an epoch behind the newest one, then of one that has not come again since a crash.
  for (const uint64_t epoch : {uint64_t{6}, freshet::Outbox::kUnclaimed}) {
    freshet::Outbox::Changes changes;
    outbox.PutKnown("old", {5, freshet::Outbox::Fate::kDelivered, 1}, &changes);
    outbox.PutKnown("new", {epoch, freshet::Outbox::Fate::kDelivered, 1}, &changes);
    REQUIRE(outbox.Write(changes, true).ok());
    for (const freshet::Status& refused : {say("silence", "high", ""), say("silence", id, ""),
                                           say("label", id, "noise"), say("ack", freshet::AlertIdText(8), "")}) {
      CHECK(refused.code() == freshet::StatusCode::kUnavailable);
      CHECK_MESSAGE(Contains(refused.message(), "start the pipeline once"), refused.message());
    }
    CHECK((**(*store)->Load()).epoch.number == 5);
  }
  CHECK(say("ack", id, "").ok());
  CHECK((**(*store)->Load()).epoch.number == 6);
  // A run has committed an epoch since, without the row: of a source that cannot go back it never comes. An order
  // between runs is no run.
  freshet::Outbox::Changes passed;
  outbox.PutKnown("new", {freshet::Outbox::kUnclaimed, freshet::Outbox::Fate::kDelivered, 1, 6}, &passed);
  REQUIRE(outbox.Write(passed, true).ok());
  CHECK(say("silence", "high", "").code() == freshet::StatusCode::kUnavailable);
  CHECK(say("ack", id, "").ok());
  CHECK((**outbox.FindKnown("new")).unclaimed_at == 7);
  CHECK(say("silence", "high", "").code() == freshet::StatusCode::kUnavailable);
  manifest = **(*store)->Load();
  manifest.epoch = {8};
  REQUIRE((*store)->Commit(manifest, {}).ok());
  CHECK(say("silence", "high", "").ok());
  CHECK((**(*store)->Load()).epoch.number == 9);
  freshet::Outbox::Changes claimed;
  outbox.PutKnown("new", {9, freshet::Outbox::Fate::kDelivered, 1}, &claimed);
  REQUIRE(outbox.Write(claimed, true).ok());
  CHECK(say("label", id, "noise").ok());
  CHECK(say("silence", "high", "").ok());
  CHECK(say("ack", freshet::AlertIdText(8), "").code() == freshet::StatusCode::kNotFound);
  CHECK((**(*store)->Load()).epoch.number == 11);
}

TEST_CASE("WritePipelineAlerts_ManyKeys_KeepsTheLatestAndGivesWay") {
  constexpr int kKeys = 21500;
  const auto store = freshet::NewMemoryStore();
  freshet::Manifest manifest;
  manifest.epoch = {1};
  manifest.pipeline_name = "p";
  manifest.tables = {{"high", "episodes", 1, freshet::AlertCell::kCodec, ""}, {"high", "silenced", 2, 1, ""}};
  freshet::EpochRows rows;
  for (int n = 0; n < kKeys; ++n) {
    freshet::AlertCell cell;
    cell.id = static_cast<uint64_t>(n) + 1;
    freshet::EpisodeInput row;
    row.time_us = 1'000'000 * (1 + int64_t{n} * 7919 % kKeys);
    row.condition = true;
    bool started = false;
    (void)cell.episode.OnRow(row, {}, &started);
    freshet::ByteSink bytes;
    cell.Encode(bytes);
    rows.Put(1, static_cast<uint16_t>(n % 3), "key" + std::to_string(n), bytes.bytes());
  }
  REQUIRE(store->Commit(manifest, std::move(rows)).ok());
  freshet::cli::AlertPlace place = {"p", "/state"};
  const auto write = [&](uint64_t id) {
    freshet::JsonWriter json;
    const auto count = freshet::cli::WritePipelineAlerts(place, *store, manifest.tables, id, &json);
    return std::pair(count.ok() ? *count : int64_t{-1}, json.text());
  };
  const auto [count, all] = write(0);
  CHECK(count == 10000);
  CHECK(Contains(all, "\"alerts_left_out\":11500"));
  CHECK(Contains(all, "\"started_at\":\"1970-01-01T05:58:20Z\""));        // the latest, 21,500 s
  CHECK(Contains(all, "\"started_at\":\"1970-01-01T03:11:41Z\""));        // the 10,000th, 11,501 s
  CHECK_FALSE(Contains(all, "\"started_at\":\"1970-01-01T03:11:40Z\""));  // the one before
  const auto [one, alone] = write(kKeys);
  CHECK(one == 1);
  CHECK(Contains(alone, "\"alert_id\":\"" + freshet::AlertIdText(kKeys) + "\""));
  CHECK(Contains(alone, "\"alerts_left_out\":0"));
  CHECK(write(kKeys + 1).first == 0);
  // The end of the run does not wait for who looks.
  int looks = 0;
  place.given_up = [&] { return ++looks == 5; };
  freshet::JsonWriter json;
  CHECK(freshet::cli::WritePipelineAlerts(place, *store, manifest.tables, 0, &json).status().code() ==
        freshet::StatusCode::kCancelled);
  CHECK(json.text().empty());
}

TEST_CASE("ObeyInState_UntilResolvedOfWhatIsResolved_SaysSoAndChangesNothing") {
  const auto store = freshet::NewMemoryStore();
  freshet::AlertCell cell;
  cell.past.push_back({.id = 5, .message = "over"});
  freshet::ByteSink bytes;
  cell.Encode(bytes);
  freshet::Manifest manifest;
  manifest.epoch = {5};
  manifest.pipeline_name = "p";
  manifest.tables = {{"high", "episodes", 1, freshet::AlertCell::kCodec, ""}, {"high", "silenced", 2, 1, ""}};
  freshet::EpochRows rows;
  rows.Put(1, 3, "key", bytes.bytes());
  REQUIRE(store->Commit(manifest, std::move(rows)).ok());
  const auto said = freshet::cli::ObeyInState(*store, {"silence", freshet::AlertIdText(5), "resolved", "", ""}, 99);
  REQUIRE_MESSAGE(said.ok(), said.status().ToString());
  CHECK(*said == freshet::AlertCommand::kTooLate);
  CHECK((**store->Load()).epoch.number == 5);
}
