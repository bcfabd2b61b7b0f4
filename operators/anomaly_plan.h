#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/batch/key_codec.h"
#include "engine/expr/expr.h"
#include "engine/expr/time_zone.h"
#include "engine/flow/descriptor.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/anomaly/sentence.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"

namespace freshet {

/// What `anomaly` and `contribution` read from a pipeline file in the same words.
struct AnomalyPlan : KeyedModelPlan {
  std::vector<BoundExpr> metrics;
  std::vector<MetricWords> words;  ///< one a metric
  std::optional<BoundExpr> of;
  std::optional<BoundExpr> age;
  std::optional<BoundExpr> impact;
  const date::time_zone* zone = nullptr;
  AnomalyOptions model;
  std::vector<std::string> break_whys;  ///< of model.breaks
  DetectorColumnsOptions columns;
  SchemaRef output;
};

/// season, zone, history, alarm_at, budget, persist, rules, series_breaks.
void AddAnomalyModelOptions(NodeDescriptor* descriptor);
/// Reads them, max_p, and what follows for `plan->columns`. REQUIRES: kind, words, `of`, are read. Problems are
/// reported; false then.
bool ReadAnomalyModelOptions(const OptionsNode& options, const BindContext& bind, AnomalyPlan* plan);
/// The part of a fingerprint that stands for them.
std::string AnomalyModelFingerprint(const OptionsNode& options);
/// The verdict as columns. `detail`: see AnomalySentence.
DetectorColumns::Row AnomalyRow(const AnomalyVerdict& verdict, const AnomalyPlan& plan, const double* x,
                                int64_t time_us, const std::string& detail = "");
/// Local time minus UTC at a row.
int64_t ZoneOffset(const AnomalyPlan& plan, EventTime time);

}  // namespace freshet
