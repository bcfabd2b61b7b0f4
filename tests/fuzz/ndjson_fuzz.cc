// Any bytes through the ndjson decoder: the speculative path must say exactly what the DOM says.
#include "tests/fuzz/decode_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  const auto columns = fuzz::Columns();
  const DecodedBlock fast = fuzz::Decode(testing::NdjsonFormat(columns, 4096, true), data, size);
  const DecodedBlock slow = fuzz::Decode(testing::NdjsonFormat(columns, 4096, false), data, size);
  if (fast.row_count != slow.row_count || fast.dead.size() != slow.dead.size()) __builtin_trap();
  for (size_t c = 0; c < fast.columns.size(); ++c)
    for (int32_t row = 0; row < fast.row_count; ++row)
      if (fast.columns[c].IsNull(row) != slow.columns[c].IsNull(row)) __builtin_trap();
  return 0;
}
