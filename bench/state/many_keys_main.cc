// Rows for bench/state/many_keys.sh: KEYS distinct keys in a scattered order, and for every twentieth of them one more
// row of a key from the first half of what has come, which has long left memory. ndjson on stdout; what a window over
// all of it must come to goes to the file EXPECTED.
//   many_keys_bench KEYS EXPECTED
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

/// A bijection of [0, keys): multiplication modulo the next power of two, walked until it falls below `keys`.
class Scatter {
 public:
  explicit Scatter(uint64_t keys) : keys_(keys) {
    while (mask_ < keys - 1) mask_ = mask_ * 2 + 1;
  }
  uint64_t operator()(uint64_t i) const {
    do i = (i * 0x9e3779b97f4a7c15u + 12345) & mask_;
    while (i >= keys_);
    return i;
  }

 private:
  uint64_t keys_;
  uint64_t mask_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: many_keys_bench KEYS EXPECTED\n"), 2;
  const uint64_t keys = std::strtoull(argv[1], nullptr, 10);
  const Scatter scatter(keys);
  std::setvbuf(stdout, nullptr, _IOFBF, 1 << 20);
  uint64_t rows = 0, ids = 0, mixed = 0, total = 0;
  const auto write = [&](uint64_t i, uint64_t user) {
    const uint64_t at_ms = 1700000000000 / 3600000 * 3600000 + i * 3500000 / keys;
    const uint64_t v = user * 7919 % 1000;
    std::printf("{\"at\":%" PRIu64 ",\"user\":%" PRIu64 ",\"v\":%" PRIu64 "}\n", at_ms, user, v);
    ++rows;
    total += v;
  };
  for (uint64_t i = 0; i < keys; ++i) {
    const uint64_t user = scatter(i);
    ids += user;
    mixed += user % 65537 * (user % 65521);
    write(i, user);
    if (i % 20 == 19) write(i, scatter(i / 2));
  }
  std::fflush(stdout);
  std::FILE* expected = std::fopen(argv[2], "w");
  if (expected == nullptr) return 1;
  std::fprintf(expected,
               "{\"users\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"fewest\":1,\"most\":2,\"ids\":%" PRIu64
               ",\"mixed\":%" PRIu64 ",\"total\":%" PRIu64 "}\n",
               keys, rows, ids, mixed, total);
  return std::fclose(expected) == 0 ? 0 : 1;
}
