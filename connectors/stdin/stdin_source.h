#pragma once

#include <memory>

#include "connectors/format/source_format.h"
#include "engine/flow/descriptor.h"

namespace freshet {

/// Reads a pipe or terminal, by default standard input: one partition, which ends with the input. What was read cannot
/// be read again, so after a restart rows that came since the last checkpoint are lost or, if the writer sends them
/// again, doubled. `descriptor` is not closed.
std::unique_ptr<Source> MakeStdinSource(SourceFormat format, int descriptor = 0);

/// Source `stdin`.
NodeDescriptor StdinSourceDescriptor();

}  // namespace freshet
