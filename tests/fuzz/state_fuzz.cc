// Any bytes as what a checkpoint holds: refused, never a crash.
#include <cstdint>

#include "engine/batch/batch_codec.h"
#include "engine/state/checkpoint_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)Manifest::Decode(bytes).ok();
  static const auto schema = std::make_shared<const Schema>(
      std::vector<Field>{{"i", TypeId::kInt64}, {"s", TypeId::kString}, {"l", TypeId::kListFloat64}});
  ByteSource source(bytes);
  Batch batch;
  (void)DecodeBatch(source, schema, &batch);
  return 0;
}
