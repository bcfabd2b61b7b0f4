#include "connectors/registry.h"

#include "connectors/blackhole/blackhole.h"
#include "connectors/console/console.h"
#include "connectors/file_sink/file_sink.h"

namespace freshet {

void RegisterConnectors(Registry& registry) {
  // Sources.
  // Sinks.
  registry.Add(BlackholeDescriptor());
  registry.Add(ConsoleDescriptor());
  registry.Add(FileSinkDescriptor());
}

}  // namespace freshet
