// Any bytes through the ndjson decoder: the speculative path must say exactly what the DOM says, of each record: its
// line, its values or why it is dead. Once as they come, and once many times over, so that runs of like records form.
#include "tests/fuzz/decode_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  static const SourceFormat fast = testing::NdjsonFormat(fuzz::Columns(), 4096, true);
  static const SourceFormat slow = testing::NdjsonFormat(fuzz::Columns(), 4096, false);
  for (const int copies : {1, 24}) {
    std::string bytes;
    for (int i = 0; i < copies; ++i) {
      bytes.append(reinterpret_cast<const char*>(data), size);
      if (copies > 1) bytes += '\n';
    }
    testing::Transcript said(fast.schema);
    said.Add(testing::DecodeAll(fast, bytes));
    testing::Transcript expected(slow.schema);
    expected.Add(testing::DecodeAll(slow, bytes));
    if (said.text() != expected.text()) __builtin_trap();
  }
  return 0;
}
