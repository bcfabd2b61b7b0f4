#pragma once

#include <string>

#include "engine/base/env.h"
#include "engine/state/checkpoint_store.h"

namespace freshet {

/// What an export or import moved.
struct StateFileFigures {
  Manifest manifest;
  int64_t row_count = 0;     ///< rows of the checkpoint, without the manifest
  int64_t outbox_count = 0;  ///< rows that wait to leave by network
  int64_t file_bytes = 0;
};

/// Writes everything that a store holds into one file that any later Freshet can import (FORMAT.md, "State file"). The
/// file appears whole or not at all. NotFound if the store is empty. REQUIRES: nobody commits meanwhile.
Result<StateFileFigures> ExportState(CheckpointStore& store, Env* env, const std::string& path);

/// Fills an empty store from such a file, which is held in memory meanwhile. DataLoss if a byte of it is wrong,
/// Unsupported if a newer Freshet wrote it, AlreadyExists if the store is not empty; then the store is as before.
Result<StateFileFigures> ImportState(CheckpointStore& store, Env* env, const std::string& path);

}  // namespace freshet
