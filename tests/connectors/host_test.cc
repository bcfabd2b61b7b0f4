#include "connectors/host/host.h"

#include <doctest/doctest.h>

#include "connectors/host/proc_stats.h"
#include "engine/base/fault_env.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {

void Put(const std::string& path, const std::string& text) {
  REQUIRE(Env::Posix()->MakeDirectories(DirectoryOf(path)).ok());
  REQUIRE(Env::Posix()->WriteFileAtomically(path, text).ok());
}

void PutProc(const test::TemporaryDirectory& dir, int64_t tick) {
  const auto n = [&](int64_t base, int64_t step) { return std::to_string(base + step * tick); };
  // Per tick: user 50 (with nice), system 20 (with irq), idle 20, iowait 10; of 100.
  Put(dir / "stat", "cpu  " + n(1000, 40) + " " + n(100, 10) + " " + n(500, 15) + " " + n(9000, 20) + " " + n(70, 10) +
                        " " + n(1, 2) + " " + n(2, 3) + " 0 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 5\n");
  Put(dir / "meminfo",
      "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\n");
  Put(dir / "diskstats", " 259 0 nvme0n1 10 0 " + n(100, 8) + " 5 20 0 " + n(200, 16) + " 9 0 1 1\n" +
                             " 259 1 nvme0n1p1 10 0 " + n(100, 8) + " 5 20 0 " + n(200, 16) + " 9 0 1 1\n" +
                             "   8 0 sda 10 0 " + n(0, 2) + " 5 20 0 0 9 0 1 1\n   8 1 sda1 10 0 " + n(0, 2) +
                             " 5 20 0 0 9 0 1 1\n 253 0 dm-0 10 0 99999 5 20 0 " + n(0, 99) + " 9 0 1 1\n");
  Put(dir / "net/dev", "Inter-|   Receive   |  Transmit\n face |bytes packets|bytes\n    lo: " + n(0, 77) +
                           " 1 0 0 0 0 0 0 " + n(0, 77) + " 1 0 0 0 0 0 0\n  eth0:" + n(5000, 1000) +
                           " 9 0 0 0 0 0 0 " + n(6000, 3000) + " 9 0 0 0 0 0 0\n");
  Put(dir / "loadavg", "0.50 1.25 2.00 3/456 789\n");
}

Batch Row(Source* source, const SchemaRef& schema) {
  RawChunk chunk;
  const auto outcome = source->Poll({.rows = 10, .bytes = 1000}, &chunk);
  REQUIRE(outcome.ok());
  REQUIRE(outcome.value() == PollOutcome::kChunk);
  REQUIRE(chunk.finished != nullptr);
  REQUIRE(chunk.finished->row_count == 1);
  REQUIRE(static_cast<int>(chunk.finished->columns.size()) == schema->size());
  return Batch(schema, chunk.finished->columns, 1, RowMeta{});
}

TEST_CASE("HostSource_FakeProc_GivesSharesAndRatesPerInterval") {
  test::TemporaryDirectory dir;
  PutProc(dir, 0);
  FaultEnv env(Env::Posix());
  env.FreezeClock(1000000000);
  const SchemaRef schema = HostSchema();
  const auto source = MakeHostSource({.proc = dir / "", .interval = Duration::Seconds(2)}, schema);
  SourceOpenContext ctx;
  ctx.env = &env;
  REQUIRE(source->Open(ctx).ok());
  const auto at = [&](const Batch& row, const char* name) -> const Column& { return row.column(*schema->Find(name)); };

  const Batch first = Row(source.get(), schema);
  CHECK(at(first, "cpu_user").IsNull(0));
  CHECK(at(first, "disk_read_bytes_per_s").IsNull(0));
  CHECK(at(first, "memory_used_share").float64s()[0] == doctest::Approx(0.75));
  CHECK(at(first, "memory_total_bytes").int64s()[0] == 1024000);
  CHECK(at(first, "swap_used_bytes").int64s()[0] == 10240);
  CHECK(at(first, "load5").float64s()[0] == 1.25);
  CHECK(at(first, "processes_running").int64s()[0] == 3);
  CHECK(at(first, "processes_total").int64s()[0] == 456);

  RawChunk nothing;
  CHECK(source->Poll({}, &nothing).value() == PollOutcome::kNothing);
  env.AdvanceMicros(2000000);
  PutProc(dir, 1);
  const Batch second = Row(source.get(), schema);
  CHECK(at(second, "at").int64s()[0] - at(first, "at").int64s()[0] == 2000000);
  CHECK(at(second, "cpu_user").float64s()[0] == doctest::Approx(0.5));
  CHECK(at(second, "cpu_system").float64s()[0] == doctest::Approx(0.2));
  CHECK(at(second, "cpu_iowait").float64s()[0] == doctest::Approx(0.1));
  CHECK(at(second, "cpu_busy").float64s()[0] == doctest::Approx(0.7));
  CHECK(at(second, "disk_read_bytes_per_s").float64s()[0] == doctest::Approx(10 * 512 / 2.0));
  CHECK(at(second, "disk_write_bytes_per_s").float64s()[0] == doctest::Approx(16 * 512 / 2.0));
  CHECK(at(second, "network_in_bytes_per_s").float64s()[0] == doctest::Approx(500));
  CHECK(at(second, "network_out_bytes_per_s").float64s()[0] == doctest::Approx(1500));

  // A counter that fell gives null, not a huge or negative rate; missed intervals are left out.
  env.AdvanceMicros(7000000);
  PutProc(dir, -1);
  const Batch third = Row(source.get(), schema);
  CHECK(at(third, "network_in_bytes_per_s").IsNull(0));
  CHECK(at(third, "cpu_user").IsNull(0));
  CHECK(source->Poll({}, &nothing).value() == PollOutcome::kNothing);
  env.AdvanceMicros(1000000);
  Row(source.get(), schema);
}

TEST_CASE("HostSource_PartsMissing_AreNullAndNothingAtAllIsRefused") {
  test::TemporaryDirectory dir;
  SourceOpenContext ctx;
  ctx.env = Env::Posix();
  CHECK(MakeHostSource({.proc = dir / "absent"}, HostSchema())->Open(ctx).code() == StatusCode::kNotFound);
  Put(dir / "loadavg", "0.50 1.25 2.00 3/456 789\n");
  Put(dir / "meminfo", "nonsense\n\nMemTotal:\n");
  const SchemaRef some = test::MakeSchema({{"load1", TypeId::kFloat64}, {"memory_used_share", TypeId::kFloat64}});
  const auto source = MakeHostSource({.proc = dir / ""}, some);
  REQUIRE(source->Open(ctx).ok());
  const Batch row = Row(source.get(), some);
  CHECK(row.column(0).float64s()[0] == 0.5);
  CHECK(row.column(1).IsNull(0));
}

TEST_CASE("HostSource_ThisMachine_GivesPlausibleValues") {
  SourceOpenContext ctx;
  ctx.env = Env::Posix();
  const auto source = MakeHostSource({}, HostSchema());
  REQUIRE(source->Open(ctx).ok());
  const Batch row = Row(source.get(), HostSchema());
  const double used = row.column(*HostSchema()->Find("memory_used_share")).float64s()[0];
  CHECK(used > 0);
  CHECK(used < 1);
}

}  // namespace
}  // namespace freshet
