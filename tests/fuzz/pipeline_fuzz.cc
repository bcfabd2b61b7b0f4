// Any text as a pipeline file: it is refused with a place, or bound; it never crashes.
#include <cstdint>

#include "connectors/registry.h"
#include "engine/plan/pipeline.h"
#include "operators/registry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  static const Registry* const registry = [] {
    auto* r = new Registry;
    RegisterConnectors(*r);
    RegisterOperators(*r);
    return r;
  }();
  auto text = std::make_shared<SourceText>();
  text->name = "fuzz.yaml";
  text->bytes.assign(reinterpret_cast<const char*>(data), size);
  LoadOptions options;
  options.registry = registry;
  options.require_secrets = false;
  Diagnostics diagnostics;
  const auto pipeline = LoadPipeline(std::shared_ptr<const SourceText>(text), options, &diagnostics);
  if (!pipeline && !diagnostics.has_errors()) __builtin_trap();
  (void)diagnostics.Render();
  return 0;
}
