#pragma once

#include <map>
#include <string>
#include <vector>

namespace freshet::testing {

/// One line of samples: "freshet_rows_in_total{node="a"} 3".
struct PrometheusSample {
  std::string name;
  std::map<std::string, std::string> labels;  ///< unescaped
  double value = 0;
};

struct PrometheusFamily {
  std::string help;
  std::string type;
  std::vector<PrometheusSample> samples;
};

/// A strict reader of the text format 0.0.4, written from its description and sharing nothing with the writer. Every
/// breach goes to `problems`: bad names and escapes, samples outside their family, families without # HELP and # TYPE
/// or in two pieces, duplicates, counters without `_total`, falling or incomplete histograms.
struct PrometheusText {
  std::map<std::string, PrometheusFamily> families;
  std::vector<std::string> problems;

  /// The value of one sample; NaN when it is not there.
  double Value(const std::string& name, const std::map<std::string, std::string>& labels) const;
};
PrometheusText ReadPrometheus(const std::string& text);

}  // namespace freshet::testing
