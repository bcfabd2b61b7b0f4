#pragma once

#include <memory>
#include <string>

#include "connectors/format/row_writer.h"
#include "engine/flow/descriptor.h"

namespace freshet {

enum class IfExists : uint8_t { kFail, kAppend, kReplace };

struct FileSinkOptions {
  std::string path;
  RowFormat format = RowFormat::kNdjson;
  IfExists if_exists = IfExists::kFail;
  bool gzip = false;
  bool stream = false;  ///< a pipe, a terminal or another device: written at once, at least once, never cut
};

/// Writes rows to one file, exactly once (SEMANTICS.md §6.2).
///   Epochs : PrepareCommit ends a gzip member, syncs file and directory and returns path, length, a checksum of the
///   last
///            4 KiB and the row hash. A restore checks them and cuts off what came later; a shorter or changed file is
///            refused.
///   Names  : until the first commit the rows are in PATH.part, so that a run that dies before its first epoch leaves
///   no
///            PATH behind; with `append` PATH.append holds the length that the file had before, until then.
///   Locks  : the open file is held by flock(2); a second writer gets kLocked.
///   Errors : after a failed write every further call fails with the same status: the file's end is unknown until a
///   restore.
std::unique_ptr<Sink> MakeFileSink(FileSinkOptions options);

/// Sink `file`.
NodeDescriptor FileSinkDescriptor();

}  // namespace freshet
