#pragma once

#include <string>

#include "engine/base/env.h"
#include "engine/base/status.h"

namespace freshet {

/// Whether there is a state in `directory`: also one whose database was being replaced when that was killed.
bool HoldsState(Env* env, const std::string& directory);

/// A state's directory may be named wrongly. Whatever lies under the names that a store clears or writes over (db,
/// db.replaced, incoming, spill, staging) must be what a store has made: else AlreadyExists, which names what is not.
/// Files beside these are nobody's business. Changes nothing.
Status CheckNothingForeign(Env* env, const std::string& directory);

}  // namespace freshet
