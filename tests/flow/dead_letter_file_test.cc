// Dead letters that nobody reads: each once in the file, across crashes, a full disk and turns of the ring.
#include "engine/flow/dead_letter_file.h"

#include <doctest/doctest.h>

#include "engine/base/fault_env.h"
#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/descriptor.h"
#include "tests/state/temp_directory.h"

namespace freshet {
namespace {

Batch Letters(int64_t from, int64_t to, size_t raw_bytes = 5) {
  ColumnBuilder node(TypeId::kString), file(TypeId::kString), line(TypeId::kInt64), record(TypeId::kInt64),
      reason(TypeId::kString), raw(TypeId::kString);
  for (int64_t i = from; i < to; ++i) {
    node.AppendString("in");
    file.AppendString("f");
    line.AppendInt64(i);
    record.AppendInt64(i);
    reason.AppendString("torn");
    raw.AppendString(std::string(raw_bytes, 'r'));
  }
  return Batch(DeadLetterSchema(),
               {node.Finish(), file.Finish(), line.Finish(), record.Finish(), reason.Finish(), raw.Finish()},
               static_cast<int32_t>(to - from), RowMeta());
}

/// The line numbers in a file, in order.
std::vector<int64_t> Lines(const std::string& path) {
  std::vector<int64_t> lines;
  const auto text = Env::Posix()->ReadFile(path);
  if (!text.ok()) return lines;
  for (size_t at = 0; (at = text->find("\"line\":", at)) != std::string::npos; ++at)
    lines.push_back(std::stoll(text->substr(at + 7)));
  return lines;
}

SinkOpenContext Context(Env* env, uint64_t epoch, const std::string& committed) {
  SinkOpenContext context;
  context.env = env;
  context.restored_epoch = {epoch};
  context.committed = committed;
  return context;
}

TEST_CASE("DeadLetterFile_CrashesAtRandom_EachLetterOnce") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    TempDirectory directory;
    const std::string path = directory.path() + "/d/in.ndjson";
    std::string committed;
    uint64_t epoch = 0;
    int64_t committed_row = 0;
    while (committed_row < 200) {
      const auto sink = NewDeadLetterFile(path);
      REQUIRE(sink->Open(Context(Env::Posix(), epoch, committed)).ok());
      int64_t row = committed_row;
      for (uint64_t step = 1 + rng.Below(8); step > 0; --step) {
        const auto count = static_cast<int64_t>(1 + rng.Below(9));
        REQUIRE(sink->Write(Letters(row, row + count), row).ok());
        row += count;
        const auto prepared = sink->PrepareCommit({epoch + 1});
        REQUIRE(prepared.ok());
        if (rng.Below(3) == 0) continue;  // the epoch was given up, or the process died before its commit
        committed = *prepared;
        committed_row = row;
        ++epoch;
      }
      sink->Close();
    }
    const auto sink = NewDeadLetterFile(path);
    REQUIRE(sink->Open(Context(Env::Posix(), epoch, committed)).ok());
    sink->Close();
    const std::vector<int64_t> lines = Lines(path);
    REQUIRE(static_cast<int64_t>(lines.size()) == committed_row);
    for (size_t i = 0; i < lines.size(); ++i) REQUIRE(lines[i] == static_cast<int64_t>(i));
  }
}

TEST_CASE("DeadLetterFile_RingTurnedAfterTheCommit_IsTurnedBackByARestore") {
  TempDirectory directory;
  const std::string path = directory.path() + "/in.ndjson";
  std::string committed;
  {
    const auto sink = NewDeadLetterFile(path);
    REQUIRE(sink->Open(Context(Env::Posix(), 0, "")).ok());
    REQUIRE(sink->Write(Letters(0, 3), 0).ok());
    committed = *sink->PrepareCommit({1});
    for (int64_t row = 3; row < 43; ++row) REQUIRE(sink->Write(Letters(row, row + 1, 1 << 20), row).ok());
    sink->Close();
    REQUIRE(Env::Posix()->Stat(path + ".1").ok());
  }
  const auto sink = NewDeadLetterFile(path);
  REQUIRE(sink->Open(Context(Env::Posix(), 1, committed)).ok());
  REQUIRE(sink->Write(Letters(3, 5), 3).ok());
  REQUIRE(sink->PrepareCommit({2}).ok());
  sink->Close();
  CHECK(Lines(path) == std::vector<int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("DeadLetterFile_CommittedRightAfterTheRingTurned_RestoresThatFile") {
  TempDirectory directory;
  const std::string path = directory.path() + "/in.ndjson";
  std::string committed;
  {
    const auto sink = NewDeadLetterFile(path);
    REQUIRE(sink->Open(Context(Env::Posix(), 0, "")).ok());
    for (int64_t row = 0; row < 33; ++row) REQUIRE(sink->Write(Letters(row, row + 1, 1 << 20), row).ok());
    REQUIRE(sink->Write(Letters(33, 34), 33).ok());
    committed = *sink->PrepareCommit({1});
    REQUIRE(sink->Write(Letters(34, 36), 34).ok());
    sink->Close();
  }
  REQUIRE(Lines(path).back() == 35);
  const auto sink = NewDeadLetterFile(path);
  REQUIRE(sink->Open(Context(Env::Posix(), 1, committed)).ok());
  sink->Close();
  CHECK(Lines(path).back() == 33);
}

TEST_CASE("DeadLetterFile_StartWithoutState_LeavesNothingOfAnEarlierOne") {
  TempDirectory directory;
  const std::string path = directory.path() + "/in.ndjson";
  for (int life = 0; life < 2; ++life) {
    const auto sink = NewDeadLetterFile(path);
    REQUIRE(sink->Open(Context(Env::Posix(), 0, "")).ok());
    REQUIRE(sink->Write(Letters(0, 4), 0).ok());
    sink->Close();
  }
  CHECK(Lines(path).size() == 4);
}

TEST_CASE("DeadLetterFile_FullAtAnyCall_CallsAreRepeatedAndEachLetterIsThereOnce") {
  for (int n = 0;; ++n) {
    REQUIRE(n < 100);
    CAPTURE(n);
    TempDirectory directory;
    const std::string path = directory.path() + "/in.ndjson";
    FaultEnv env(Env::Posix());
    const auto sink = NewDeadLetterFile(path);
    REQUIRE(sink->Open(Context(&env, 0, "")).ok());
    env.FailAfter(n, Status::NoSpace("injected"));
    bool over = false;
    for (int64_t row = 0; row < 12 && !over; row += 4) {
      Status status = Status::NoSpace("first");
      while (status.retry() == RetryHint::kLater) status = sink->Write(Letters(row, row + 4), row);
      over = !status.ok();
      status = Status::NoSpace("first");
      while (!over && status.retry() == RetryHint::kLater) status = sink->PrepareCommit({1}).status();
      over = over || !status.ok();
    }
    sink->Close();
    if (!over) REQUIRE(Lines(path).size() == 12);
    if (env.fault_count() == 0) break;
  }
}

}  // namespace
}  // namespace freshet
