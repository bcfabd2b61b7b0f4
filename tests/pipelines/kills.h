#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/pipelines/shipped.h"

namespace freshet::testing {

/// A pipeline to be killed, and what to compare.
struct Subject {
  std::string file;    ///< the pipeline
  std::string output;  ///< in the workshop
  std::string every;   ///< between checkpoints
  std::string also;    ///< one more setting
};

/// Bytes in the output folder and the state: how far a run has come, whatever the machine is doing.
uint64_t Progress(const Workshop& shop);
std::vector<std::string> RunArguments(const Workshop& shop, const Subject& subject, int lanes);
/// Starts the pipeline and kills it when it has written `bytes`; false when it had ended by then.
bool KilledAt(const Workshop& shop, const Subject& subject, int lanes, uint64_t bytes);
/// Starts the pipeline and kills it when its n-th checkpoint of this run is prepared and not committed; the epoch, or 0
/// when it had ended by then.
uint64_t KilledBeforeCommit(const Workshop& shop, const Subject& subject, int lanes, uint64_t nth);

}  // namespace freshet::testing
