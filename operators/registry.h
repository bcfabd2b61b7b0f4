#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// Adds every operator type of this folder. The list is explicit: nothing registers itself.
void RegisterOperators(Registry& registry);

}  // namespace freshet
