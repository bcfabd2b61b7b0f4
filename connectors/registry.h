#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// Adds every source and sink that ships with Freshet. A new connector is one line in registry.cc.
void RegisterConnectors(Registry& registry);

}  // namespace freshet
