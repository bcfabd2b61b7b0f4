#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connectors/format/source_format.h"
#include "engine/flow/descriptor.h"

namespace freshet {

struct FileSourceOptions {
  std::vector<std::string> paths;  ///< files or shell patterns, resolved
  bool follow = false;
  std::string node_id;   ///< for messages
  bool by_time = false;  ///< bounded: the engine says which file to read next
};

/// Reads files in chunks of whole records. Partitions are files by name, read one after another; with `follow` all are
/// polled in turn, new matches of a pattern join, and the source never ends.
std::unique_ptr<Source> MakeFileSource(FileSourceOptions options, SourceFormat format);

/// Source `file`.
NodeDescriptor FileSourceDescriptor();

}  // namespace freshet
