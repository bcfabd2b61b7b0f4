// Any bytes through the csv decoder: every record is a row or a dead letter.
#include "tests/fuzz/decode_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  const DecodedBlock block = fuzz::Decode(testing::CsvFormat(fuzz::Columns(), 4096, false), data, size);
  if (block.record_count != block.row_count + static_cast<int64_t>(block.dead.size()) + block.skipped) __builtin_trap();
  return 0;
}
