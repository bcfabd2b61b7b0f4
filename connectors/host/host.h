#pragma once

#include <memory>
#include <string>

#include "engine/base/time.h"
#include "engine/flow/descriptor.h"

namespace freshet {

struct HostOptions {
  std::string proc = "/proc";
  Duration interval = Duration::Seconds(1);
};

/// All columns of a host row, in order; what /proc does not tell is null, as are rates in the first row.
SchemaRef HostSchema();

/// One row per interval about this machine, for ever. Live: after a restore it goes on with the present, the time it
/// was away is not made up. An interval that was missed (a sleeping machine, back pressure) is left out.
std::unique_ptr<Source> MakeHostSource(HostOptions options, SchemaRef schema);

/// Source `host`.
NodeDescriptor HostDescriptor();

}  // namespace freshet
