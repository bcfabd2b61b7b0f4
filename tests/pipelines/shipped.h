#pragma once

#include <stdlib.h>

#include <string>
#include <vector>

#include "tests/cli/program.h"

namespace freshet::testing {

/// The pipelines of the folder `pipelines/`, by name.
inline const std::vector<std::string>& ShippedPipelines() {
  static const std::vector<std::string> kNames = {"content_performance", "four_metrics",       "quickstart",
                                                  "service_quality",     "system_performance", "wikipedia_edits"};
  return kNames;
}

inline std::string PipelineFile(const std::string& name) {
  return std::string(FRESHET_SOURCE_DIR) + "/pipelines/" + name + ".yaml";
}

/// Where the shipped pipelines write (`FRESHET_OUT`), for children started while it lives; "" unsets the variable.
/// Tests run on one thread, as setenv asks for.
class OutputFolder {
 public:
  explicit OutputFolder(const std::string& path) {
    if (path.empty()) {
      unsetenv("FRESHET_OUT");
    } else {
      setenv("FRESHET_OUT", path.c_str(), 1);
    }
  }
  ~OutputFolder() { unsetenv("FRESHET_OUT"); }
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
};

}  // namespace freshet::testing
