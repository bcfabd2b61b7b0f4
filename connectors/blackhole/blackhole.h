#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// Sink `blackhole`: takes rows, keeps a count and an order-sensitive hash over every column of every row (RowHash, the
/// same as the file sink's), and writes nothing. Never blocks; count and hash are part of each epoch.
NodeDescriptor BlackholeDescriptor();

}  // namespace freshet
