#include "connectors/registry.h"

#include "connectors/blackhole/blackhole.h"
#include "connectors/console/console.h"
#include "connectors/file/file_source.h"
#include "connectors/file_sink/file_sink.h"
#include "connectors/generate/generate.h"
#include "connectors/host/host.h"
#include "connectors/scorecard/scorecard.h"
#include "connectors/stdin/stdin_source.h"
#include "connectors/webhook/webhook.h"

namespace freshet {

void RegisterConnectors(Registry& registry) {
  // Sources.
  registry.Add(FileSourceDescriptor());
  registry.Add(GenerateDescriptor());
  registry.Add(HostDescriptor());
  registry.Add(StdinSourceDescriptor());
  // Sinks.
  registry.Add(BlackholeDescriptor());
  registry.Add(ConsoleDescriptor());
  registry.Add(FileSinkDescriptor());
  registry.Add(ScorecardDescriptor());
  registry.Add(WebhookDescriptor());
}

}  // namespace freshet
