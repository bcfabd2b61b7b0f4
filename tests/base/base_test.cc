#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <thread>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/env.h"
#include "engine/base/log.h"
#include "engine/base/queue.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

TEST_CASE("Status_Copy_KeepsAll") {
  Status a = Status::Locked("held").WithContext("state");
  a = std::move(a).WithNode("n1").WithNode("n2");
  const Status b = a;
  CHECK(b.code() == StatusCode::kLocked);
  CHECK(b.ToString() == "node `n1`: state: held");
  CHECK(a.ToString() == b.ToString());
  CHECK(Status::FromErrno(ENOSPC, "x").code() == StatusCode::kNoSpace);
  CHECK(Status::FromErrno(ENOENT, "x").code() == StatusCode::kNotFound);
  CHECK(Status::Unavailable("x").retry() == RetryHint::kLater);
  CHECK(sizeof(Status) == sizeof(void*));
}

TEST_CASE("Bytes_RoundTrip_AndShortInputIsNoticed") {
  ByteSink sink;
  sink.PutU8(1);
  sink.PutU16(0x1234);
  sink.PutI64(-2);
  sink.PutF64(-0.0);
  for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX}) sink.PutVarint(v);
  sink.PutString(std::string_view("a\0b", 3));
  const std::string bytes = sink.Take();
  CHECK(bytes.substr(0, 3) == "\x01\x34\x12");
  const auto read = [](ByteSource source) {
    bool right = source.GetU8() == 1 && source.GetU16() == 0x1234 && source.GetI64() == -2;
    right = std::signbit(source.GetF64()) && right;
    for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX})
      right = source.GetVarint() == v && right;
    right = source.GetString() == std::string_view("a\0b", 3) && right;
    return right && source.ok() && source.exhausted();
  };
  CHECK(read(ByteSource(bytes)));
  for (size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(read(ByteSource(std::string_view(bytes).substr(0, n))));
  CHECK_FALSE(read(ByteSource(bytes + "x")));
  ByteSource endless("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
  (void)endless.GetVarint();
  CHECK_FALSE(endless.ok());
}

TEST_CASE("Rng_Sequence_IsFrozenAndSurvivesASnapshot") {
  Rng rng(42);
  ByteSink sink;
  rng.Encode(sink);
  const uint64_t first = rng.Next();
  const double normal = rng.NextNormal();
  Rng other;
  ByteSource source(sink.bytes());
  other.Decode(source);
  CHECK(other.Next() == first);
  CHECK(other.NextNormal() == normal);
  // SplitMix64 from its authors' reference: seed 0 gives this first word.
  CHECK(Mix64(0) == 0xe220a8397b1dcdafULL);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.NextNormal();
    sum += x;
    squares += x * x;
    CHECK(rng.Below(7) < 7);
  }
  CHECK(std::abs(sum / 100000) < 0.02);
  CHECK(std::abs(squares / 100000 - 1) < 0.02);
}

TEST_CASE("Time_Arithmetic_Saturates") {
  CHECK(EventTime::Max() - Duration::Seconds(5) == EventTime::Max());
  CHECK(EventTime::Min() + Duration::Seconds(5) == EventTime::Min());
  CHECK(EventTime{5} + Duration::Max() == EventTime::Max());
  CHECK(EventTime{-5} - Duration::Max() == EventTime::Min());
  CHECK(EventTime{10} - Duration{3} == EventTime{7});
}

TEST_CASE("Units_Text_ReadsBack") {
  for (const char* text : {"0s", "250ms", "10s", "1h30m", "7us", "1d"}) {
    const auto duration = ParseDuration(text);
    REQUIRE_MESSAGE(duration.ok(), text);
    CHECK(FormatDuration(*duration) == text);
  }
  CHECK(ParseDuration("1.5h")->us == 5400000000);
  for (const char* text : {"", "10", "s", "10 parsecs", "1e400s", "99999999999d", "10s!"})
    CHECK_FALSE(ParseDuration(text).ok());
  CHECK(*ParseSize("64KiB") == 65536);
  CHECK(*ParseSize("2MB") == 2000000);
  CHECK(*ParseSize("1500") == 1500);
  for (const char* text : {"", "KiB", "1 zebra", "99999999999GiB", "-1"}) CHECK_FALSE(ParseSize(text).ok());
  CHECK(FormatCount(39244) == "39,244");
  CHECK(FormatCount(-1234567) == "-1,234,567");
  CHECK(FormatCount(INT64_MIN) == "-9,223,372,036,854,775,808");
  CHECK(FormatCount(999) == "999");
  CHECK(FormatTime(EventTime{1442018818771000}) == "2015-09-12T00:46:58.771Z");
  CHECK(FormatTime(EventTime{0}) == "1970-01-01T00:00:00Z");
  CHECK(FormatTime(EventTime{-1}) == "1969-12-31T23:59:59.999999Z");
  const std::string names[] = {"lateness", "field", "idle"};
  CHECK(NearestName("latness", names, 3) == "lateness");
  CHECK(NearestName("zzzzzz", names, 3).empty());
}

TEST_CASE("SpmcQueue_OneProducer_KeepsOrderForAnyConsumer") {
  SpmcQueue<int> queue;
  std::thread producer([&] {
    for (int i = 0; i < 50000; ++i) CHECK(queue.Push(i));
  });
  int expected = 0;
  while (expected < 50000) {
    int v = 0;
    if (!queue.TryPop(v)) {
      std::this_thread::yield();
      continue;
    }
    REQUIRE(v == expected++);
  }
  producer.join();
}

TEST_CASE("MpmcQueue_ATokenPerValueAndManyTakers_NoneIsLeftBehind") {
  MpmcQueue<int64_t> queue;
  std::atomic<int64_t> tokens{0}, sum{0};
  std::atomic<bool> over{false};
  const int64_t count = 1000000;
  std::vector<std::thread> takers;
  for (int t = 0; t < 3; ++t)
    takers.emplace_back([&] {
      for (;;) {
        const bool last = over;
        int64_t token = tokens.load();
        if (token > 0 && tokens.compare_exchange_strong(token, token - 1)) {
          int64_t value = 0;
          PopPushed(queue, value);
          sum += value;
        } else if (last && token == 0) {
          return;
        }
      }
    });
  for (int64_t i = 1; i <= count; ++i) {
    queue.Push(i);
    ++tokens;
  }
  over = true;
  for (std::thread& t : takers) t.join();
  CHECK(sum == count * (count + 1) / 2);
}

int hook_calls = 0;

TEST_CASE("Log_Lines_AreReadableOrJson") {
  char path[] = "/tmp/freshet_log_XXXXXX";
  const int file = ::mkstemp(path);
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(file, STDERR_FILENO);
  SetLogHooks([] { hook_calls += 1; }, [] { hook_calls += 100; });
  Log(LogLevel::kDebug, "unseen");
  Log(LogLevel::kWarning, "two words", {{"node", "clean"}, {"path", "a b\"c"}});
  SetLogJson(true);
  Log(LogLevel::kError, "line\nbreak", {{"k", std::string("\x01", 1)}});
  SetLogJson(false);
  SetLogLevel(LogLevel::kOff);
  Log(LogLevel::kError, "unseen");
  SetLogLevel(LogLevel::kInfo);
  SetLogHooks(nullptr, nullptr);
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(file);
  const std::string text = *Env::Posix()->ReadFile(path);
  CHECK(Env::Posix()->Remove(path).ok());
  CHECK(hook_calls == 202);
  CHECK(text.find("unseen") == std::string::npos);
  CHECK(text.find("Z warning two words node=clean path=\"a b\\\"c\"\n") != std::string::npos);
  CHECK(text.find("\"level\":\"error\",\"message\":\"line\\nbreak\",\"k\":\"\\u0001\"}\n") != std::string::npos);
}

}  // namespace
}  // namespace freshet
