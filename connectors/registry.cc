#include "connectors/registry.h"

#include "connectors/blackhole/blackhole.h"
#include "connectors/console/console.h"
#include "connectors/file_sink/file_sink.h"
#include "connectors/generate/generate.h"

namespace freshet {

void RegisterConnectors(Registry& registry) {
  // Sources.
  registry.Add(GenerateDescriptor());
  // Sinks.
  registry.Add(BlackholeDescriptor());
  registry.Add(ConsoleDescriptor());
  registry.Add(FileSinkDescriptor());
}

}  // namespace freshet
