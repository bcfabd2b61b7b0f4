#include "connectors/format/kernels/count_lines.h"

#include <doctest/doctest.h>

#include <string>

#include "engine/base/rng.h"

namespace freshet {
namespace {

TEST_CASE("CountLineFeeds_EveryKernelAndOffset_EqualsAPlainLoop") {
  Rng rng(7);
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    std::string text(rng.Below(20000), 'x');
    const bool dense = round % 10 == 0;
    for (char& c : text)
      if (dense || rng.Below(50) == 0) c = '\n';
    const size_t from = text.empty() ? 0 : rng.Below(std::min<size_t>(64, text.size()));
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data()) + from;
    const auto size = static_cast<int64_t>(text.size() - from);
    int64_t expected = 0;
    for (int64_t i = 0; i < size; ++i) expected += bytes[i] == '\n' ? 1 : 0;
    CHECK(count_lines_sse2::Count(bytes, size) == expected);
    if (__builtin_cpu_supports("avx2")) CHECK(count_lines_avx2::Count(bytes, size) == expected);
    CHECK(CountLineFeeds(text.data() + from, size) == expected);
  }
}

}  // namespace
}  // namespace freshet
