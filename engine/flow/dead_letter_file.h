#pragma once

#include <memory>
#include <string>

#include "engine/flow/sink.h"

namespace freshet {

/// Where dead letters go when nobody reads a node's `dead_letter` output (SEMANTICS.md §8.5): ndjson in
/// `<state>/dead_letter/NODE.ndjson`, a ring of kDeadLetterRingBytes (the older half is kept as NODE.ndjson.1). Rows
/// that are not UTF-8 carry their bytes in `raw_base64` instead of `raw`. The file appears with the first dead letter.
/// Each row once: a restore cuts back what no checkpoint knows (unless the ring has turned since), a start without
/// state removes what an earlier one left.
std::unique_ptr<Sink> NewDeadLetterFile(std::string path);

}  // namespace freshet
