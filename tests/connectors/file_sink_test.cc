#include "connectors/file_sink/file_sink.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <functional>

#include "connectors/blackhole/blackhole.h"
#include "engine/base/fault_env.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {
using test::MakeBatch;
using test::MakeSchema;
using test::TemporaryDirectory;

const SchemaRef kSchema = MakeSchema({{"id", TypeId::kInt64}, {"name", TypeId::kString}});

Batch Rows(int64_t from, int64_t to) {
  std::vector<test::Row> rows;
  for (int64_t i = from; i < to; ++i) rows.push_back({i, "row " + std::to_string(i)});
  return MakeBatch(kSchema, rows);
}

std::string Text(int64_t from, int64_t to, RowFormat format = RowFormat::kNdjson) {
  const RowWriter writer(kSchema, format);
  const Batch rows = Rows(from, to);
  std::string out;
  if (from == 0) writer.AppendHeader(&out);
  for (int32_t i = 0; i < rows.row_count(); ++i) writer.AppendRow(rows, i, &out);
  return out;
}

std::string Read(const std::string& path) {
  auto bytes = Env::Posix()->ReadFile(path);
  return bytes.ok() ? bytes.value() : "(" + bytes.status().message() + ")";
}

bool Exists(const std::string& path) { return Env::Posix()->Stat(path).ok(); }

SinkOpenContext Fresh(Env* env = Env::Posix()) {
  SinkOpenContext ctx;
  ctx.env = env;
  return ctx;
}

SinkOpenContext Restored(uint64_t epoch, std::string committed, Env* env = Env::Posix()) {
  SinkOpenContext ctx = Fresh(env);
  ctx.restored_epoch = {epoch};
  ctx.committed = std::move(committed);
  return ctx;
}

void Put(const std::string& path, const std::string& text) {
  auto file = Env::Posix()->OpenWritable(path, 0);
  REQUIRE(file.ok());
  REQUIRE(file.value()->Append(text).ok());
  REQUIRE(file.value()->Close().ok());
}

std::string Gunzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string out;
  char buffer[4096];
  for (int n; (n = gzread(file, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  const int code = gzclose(file);
  return code == Z_OK ? out : out + "(torn)";
}

TEST_CASE("FileSink_FreshRun_WritesPartThenPublishesOnCommit") {
  TemporaryDirectory dir;
  const std::string path = dir / "new/out.csv";
  const auto sink = MakeFileSink({.path = path, .format = RowFormat::kCsv});
  REQUIRE(sink->Open(Fresh()).ok());
  REQUIRE(sink->Write(Rows(0, 3), 0).ok());
  auto committed = sink->PrepareCommit({1});
  REQUIRE(committed.ok());
  CHECK(!Exists(path));
  CHECK(Read(path + ".part") == Text(0, 3, RowFormat::kCsv));
  REQUIRE(sink->Commit({1}).ok());
  CHECK(Read(path) == Text(0, 3, RowFormat::kCsv));
  CHECK(!Exists(path + ".part"));
  REQUIRE(sink->Write(Rows(3, 5), 3).ok());
  REQUIRE(sink->Finish().ok());
  sink->Close();
  CHECK(Read(path) == Text(0, 5, RowFormat::kCsv));
}

TEST_CASE("FileSink_KilledAnywhere_RestoreGivesTheSameBytes") {
  // The run writes rows 0..9, one epoch per 3 rows; it dies after `died_after` steps of write, prepare, commit.
  for (int died_after = 1; died_after <= 12; ++died_after) {
    CAPTURE(died_after);
    TemporaryDirectory dir;
    const std::string path = dir / "out.ndjson";
    std::string durable;
    uint64_t epoch = 0;
    int64_t durable_row = 0;
    int step = 0;
    {
      const auto sink = MakeFileSink({.path = path});
      REQUIRE(sink->Open(Fresh()).ok());
      for (int64_t row = 0; step < died_after; row += 3) {
        REQUIRE(sink->Write(Rows(row, row + 3), row).ok());
        if (++step == died_after) break;
        auto committed = sink->PrepareCommit({epoch + 1});
        REQUIRE(committed.ok());
        if (++step == died_after) break;
        durable = committed.value();  // the engine's store has it; the sink may not hear of it any more
        ++epoch;
        durable_row = row + 3;
        if (++step == died_after) break;
        REQUIRE(sink->Commit({epoch}).ok());
      }
    }
    const auto again = MakeFileSink({.path = path});
    const Status opened = again->Open(epoch > 0 ? Restored(epoch, durable) : Fresh());
    REQUIRE_MESSAGE(opened.ok(), opened.ToString());
    REQUIRE(again->Write(Rows(durable_row, 20), durable_row).ok());
    REQUIRE(again->PrepareCommit({epoch + 1}).ok());
    REQUIRE(again->Commit({epoch + 1}).ok());
    REQUIRE(again->Finish().ok());
    const std::string summary = again->Summary();
    again->Close();
    CHECK(Read(path) == Text(0, 20));
    RowHash hash;
    hash.Add(Rows(0, 20));
    CHECK(summary.find(hash.ToString()) != std::string::npos);
  }
}

TEST_CASE("FileSink_AbortedEpoch_RowsStayForTheNext") {
  TemporaryDirectory dir;
  const auto sink = MakeFileSink({.path = dir / "out"});
  REQUIRE(sink->Open(Fresh()).ok());
  REQUIRE(sink->Write(Rows(0, 2), 0).ok());
  REQUIRE(sink->PrepareCommit({1}).ok());
  REQUIRE(sink->Write(Rows(2, 4), 2).ok());
  REQUIRE(sink->Abort({1}).ok());
  REQUIRE(sink->PrepareCommit({2}).ok());
  REQUIRE(sink->Commit({2}).ok());
  sink->Close();
  CHECK(Read(dir / "out") == Text(0, 4));
}

TEST_CASE("FileSink_ExistingFile_RefusedAppendedOrReplaced") {
  TemporaryDirectory dir;
  const std::string path = dir / "out";
  Put(path, "old\n");
  CHECK(MakeFileSink({.path = path})->Open(Fresh()).code() == StatusCode::kAlreadyExists);
  CHECK(Read(path) == "old\n");

  {  // dies before the first commit: the second try must not keep the first one's rows
    const auto sink = MakeFileSink({.path = path, .if_exists = IfExists::kAppend});
    REQUIRE(sink->Open(Fresh()).ok());
    REQUIRE(sink->Write(Rows(0, 3), 0).ok());
    sink->Close();
  }
  const auto appended = MakeFileSink({.path = path, .if_exists = IfExists::kAppend});
  REQUIRE(appended->Open(Fresh()).ok());
  REQUIRE(appended->Write(Rows(0, 2), 0).ok());
  REQUIRE(appended->PrepareCommit({1}).ok());
  REQUIRE(appended->Commit({1}).ok());
  appended->Close();
  CHECK(Read(path) == "old\n" + Text(0, 2));
  CHECK(!Exists(path + ".append"));

  SinkOpenContext forced = Fresh();
  forced.fresh_forced = true;
  const auto replaced = MakeFileSink({.path = path});
  REQUIRE(replaced->Open(forced).ok());
  REQUIRE(replaced->Write(Rows(0, 1), 0).ok());
  CHECK(Read(path) == "old\n" + Text(0, 2));  // untouched until something is committed
  REQUIRE(replaced->PrepareCommit({1}).ok());
  REQUIRE(replaced->Commit({1}).ok());
  replaced->Close();
  CHECK(Read(path) == Text(0, 1));
}

TEST_CASE("FileSink_CommittedFileShorterChangedOrGone_Refused") {
  TemporaryDirectory dir;
  const std::string path = dir / "out";
  std::string committed;
  {
    const auto sink = MakeFileSink({.path = path});
    REQUIRE(sink->Open(Fresh()).ok());
    REQUIRE(sink->Write(Rows(0, 5), 0).ok());
    committed = sink->PrepareCommit({1}).value();
    REQUIRE(sink->Commit({1}).ok());
    sink->Close();
  }
  const std::string good = Read(path);
  const auto open = [&] { return MakeFileSink({.path = path})->Open(Restored(1, committed)); };
  Put(path, good.substr(0, good.size() - 1));
  CHECK(open().code() == StatusCode::kDataLoss);
  std::string changed = good;
  changed[changed.size() - 3] = '#';
  Put(path, changed);
  CHECK(open().code() == StatusCode::kDataLoss);
  CHECK(Read(path) == changed);  // a refusal touches nothing
  REQUIRE(Env::Posix()->Remove(path).ok());
  CHECK(open().code() == StatusCode::kDataLoss);
  Put(path, good + "rows after the checkpoint");
  CHECK(open().ok());
  CHECK(Read(path) == good);
  CHECK(MakeFileSink({.path = path})->Open(Restored(1, "nonsense")).code() == StatusCode::kDataLoss);
}

TEST_CASE("FileSink_SecondWriter_Locked") {
  TemporaryDirectory dir;
  const auto first = MakeFileSink({.path = dir / "out"});
  const auto second = MakeFileSink({.path = dir / "out"});
  REQUIRE(first->Open(Fresh()).ok());
  REQUIRE(first->Write(Rows(0, 2), 0).ok());
  CHECK(second->Open(Fresh()).code() == StatusCode::kLocked);
  const std::string committed = first->PrepareCommit({1}).value();
  REQUIRE(first->Commit({1}).ok());
  // The lock follows the file to its name.
  CHECK(second->Open(Restored(1, committed)).code() == StatusCode::kLocked);
  first->Close();
  CHECK(Read(dir / "out") == Text(0, 2));
}

TEST_CASE("FileSink_Gzip_EachEpochAMemberAndRestoreValid") {
  TemporaryDirectory dir;
  const std::string path = dir / "out.ndjson.gz";
  std::string committed;
  {
    const auto sink = MakeFileSink({.path = path, .gzip = true});
    REQUIRE(sink->Open(Fresh()).ok());
    REQUIRE(sink->Write(Rows(0, 1000), 0).ok());
    committed = sink->PrepareCommit({1}).value();
    REQUIRE(sink->Commit({1}).ok());
    CHECK(Gunzip(path) == Text(0, 1000));
    REQUIRE(sink->Write(Rows(1000, 90000), 1000).ok());  // half a member reaches the file
  }
  const auto sink = MakeFileSink({.path = path, .gzip = true});
  REQUIRE(sink->Open(Restored(1, committed)).ok());
  REQUIRE(sink->Write(Rows(1000, 1500), 1000).ok());
  REQUIRE(sink->PrepareCommit({2}).ok());
  REQUIRE(sink->Commit({2}).ok());
  sink->Close();
  CHECK(Gunzip(path) == Text(0, 1500));
}

TEST_CASE("FileSink_AnyFailingCall_EndsInAStatusAndRestores") {
  // Fails the n-th call to the outside for n = 0, 1, … until a run passes untouched.
  for (int n = 0;; ++n) {
    REQUIRE(n < 200);
    CAPTURE(n);
    TemporaryDirectory dir;
    const std::string path = dir / "out";
    FaultEnv env(Env::Posix());
    env.FailAfter(n, Status::NoSpace("injected: no space left on device"));
    std::string durable;
    uint64_t epoch = 0;
    int64_t durable_row = 0;
    const auto attempt = [&]() -> Status {
      const auto sink = MakeFileSink({.path = path});
      FRESHET_RETURN_IF_ERROR(sink->Open(Fresh(&env)));
      for (int64_t row = 0; row < 9; row += 3) {
        FRESHET_RETURN_IF_ERROR(sink->Write(Rows(row, row + 3), row));
        FRESHET_ASSIGN_OR_RETURN(durable, sink->PrepareCommit({epoch + 1}));
        ++epoch;
        durable_row = row + 3;
        FRESHET_RETURN_IF_ERROR(sink->Commit({epoch}));
      }
      FRESHET_RETURN_IF_ERROR(sink->Finish());
      sink->Close();
      return Status::Ok();
    };
    const Status first = attempt();
    CHECK((first.ok() || env.fault_count() > 0));
    const auto again = MakeFileSink({.path = path});
    const Status opened = again->Open(epoch > 0 ? Restored(epoch, durable) : Fresh());
    REQUIRE_MESSAGE(opened.ok(), opened.ToString());
    REQUIRE(again->Write(Rows(durable_row, 12), durable_row).ok());
    REQUIRE(again->PrepareCommit({epoch + 1}).ok());
    REQUIRE(again->Commit({epoch + 1}).ok());
    again->Close();
    CHECK(Read(path) == Text(0, 12));
    if (env.fault_count() == 0) break;
  }
}

TEST_CASE("FileSink_FullAtAnyCall_CallsAreRepeatedAndNoRowIsLostOrTwice") {
  for (const bool gzip : {false, true}) {
    for (int n = 0;; ++n) {
      REQUIRE(n < 300);
      CAPTURE(gzip);
      CAPTURE(n);
      TemporaryDirectory dir;
      const std::string path = dir / "out";
      FaultEnv env(Env::Posix());
      const auto sink = MakeFileSink({.path = path, .gzip = gzip});
      REQUIRE(sink->Open(Fresh(&env)).ok());
      env.FailAfter(n, Status::NoSpace("injected: no space left on device"));
      // Until it passes; what cannot be repeated (a failed fsync) ends the run.
      bool over = false;
      const auto repeat = [&](const std::function<Status()>& call) {
        Status status = Status::NoSpace("first");
        while (!over && status.retry() == RetryHint::kLater) status = call();
        over = over || !status.ok();
      };
      for (int64_t row = 0; row < 6000 && !over; row += 1500) {
        repeat([&] { return sink->Write(Rows(row, row + 1500), row); });
        uint64_t epoch = static_cast<uint64_t>(row);
        repeat([&] { return sink->PrepareCommit({++epoch}).status(); });
        repeat([&] { return sink->Commit({epoch}); });
      }
      repeat([&] { return sink->Finish(); });
      sink->Close();
      if (!over) {
        const std::string text = gzip ? Gunzip(path) : Read(path);
        REQUIRE((text == Text(0, 6000)));
      }
      if (env.fault_count() == 0) break;
    }
  }
}

TEST_CASE("FileSink_Pipe_WritesAtOnce") {
  TemporaryDirectory dir;
  const std::string path = dir / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  // Opened for both directions so that neither side waits.
  std::FILE* reader = std::fopen(path.c_str(), "r+");
  REQUIRE(reader != nullptr);
  const auto sink = MakeFileSink({.path = path, .stream = true});
  REQUIRE(sink->Open(Fresh()).ok());
  REQUIRE(sink->Write(Rows(0, 1), 0).ok());
  char line[100] = {};
  CHECK(std::fgets(line, sizeof line, reader) != nullptr);
  CHECK(line == Text(0, 1));
  CHECK(sink->PrepareCommit({1}).ok());
  sink->Close();
  std::fclose(reader);
}

TEST_CASE("Blackhole_RestoredHalfway_HashEqualsTheFileSinks") {
  TemporaryDirectory dir;
  const auto file = MakeFileSink({.path = dir / "out"});
  REQUIRE(file->Open(Fresh()).ok());
  REQUIRE(file->Write(Rows(0, 100), 0).ok());
  const auto descriptor = BlackholeDescriptor();
  const OptionsNode options;
  const auto bound = descriptor.make_sink(options, {});
  REQUIRE(bound.has_value());
  const auto first = bound->make_sink();
  REQUIRE(first->Open(Fresh()).ok());
  REQUIRE(first->Write(Rows(0, 40), 0).ok());
  const std::string committed = first->PrepareCommit({1}).value();
  const auto second = bound->make_sink();
  REQUIRE(second->Open(Restored(1, committed)).ok());
  REQUIRE(second->Write(Rows(40, 100), 40).ok());
  const auto hash_in = [](const std::string& summary) { return summary.substr(summary.rfind(' ') + 1); };
  CHECK(hash_in(second->Summary()) == hash_in(file->Summary()));
  CHECK(hash_in(second->Summary()) != hash_in(first->Summary()));
  CHECK(bound->make_sink()->Open(Restored(1, "x")).code() == StatusCode::kDataLoss);
}

}  // namespace
}  // namespace freshet
