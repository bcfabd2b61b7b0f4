#include "connectors/format/kernels/find_stops.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/base/rng.h"

namespace freshet {
namespace {

using Kernel = int64_t (*)(const uint8_t*, int64_t, uint32_t*, bool*);

TEST_CASE("FindStops_EveryKernelAndOffset_EqualsAPlainLoop") {
  std::vector<std::pair<const char*, Kernel>> kernels = {{"sse2", &find_stops_sse2::Find}};
  if (__builtin_cpu_supports("avx2")) kernels.emplace_back("avx2", &find_stops_avx2::Find);
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"))
    kernels.emplace_back("avx512", &find_stops_avx512::Find);
  const char interesting[] = "\"\\\n\r\t\x01\x1f\x20\x21\x23\x5b\x5d\x7f\x80\xa2\xff";
  Rng rng(7);
  for (int round = 0; round < 400; ++round) {
    CAPTURE(round);
    const auto size = static_cast<size_t>(rng.Below(round % 3 == 0 ? 200 : 5000));
    const uint64_t density = 1 + rng.Below(round % 4 == 0 ? 2 : 40);
    std::string text(size + 128, 'x');
    for (size_t i = 0; i < text.size(); ++i)
      if (rng.Below(density) == 0) text[i] = interesting[rng.Below(round % 2 == 0 ? 12 : sizeof interesting - 1)];
    const size_t from = rng.Below(64);
    std::vector<uint32_t> expected;
    bool expected_ascii = true;
    for (size_t i = 0; i < size; ++i) {
      const auto c = static_cast<unsigned char>(text[from + i]);
      if (c == '"' || c == '\\' || c < ' ') expected.push_back(static_cast<uint32_t>(i));
      expected_ascii = expected_ascii && c < 0x80;
    }
    for (const auto& [name, kernel] : kernels) {
      CAPTURE(name);
      std::vector<uint32_t> stops(size + 64, 12345);
      bool ascii = !expected_ascii;
      const int64_t count = kernel(reinterpret_cast<const uint8_t*>(text.data()) + from, static_cast<int64_t>(size),
                                   stops.data(), &ascii);
      stops.resize(static_cast<size_t>(count));
      CHECK(stops == expected);
      CHECK(ascii == expected_ascii);
    }
  }
}

}  // namespace
}  // namespace freshet
