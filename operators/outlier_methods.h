#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/expr/time_zone.h"
#include "engine/flow/descriptor.h"
#include "operators/outlier/outlier_model.h"

namespace freshet {

/// Makes one key's model; called for each new key. Any thread.
using OutlierModelFactory = std::function<std::unique_ptr<OutlierModel>()>;

/// A method with its options read: what the operator needs to know of it.
struct BoundOutlierMethod {
  OutlierModelFactory make;
  std::string fingerprint;                ///< of all that makes a model's bytes meaningless for another
  const date::time_zone* zone = nullptr;  ///< whose seasons; null: UTC
};

/// A method of `statistical_outlier`, by name. To add one: a model in operators/outlier/ and an entry in
/// outlier_methods.cc.
struct OutlierMethod {
  enum class Of : uint8_t { kNo, kMay, kMust };  ///< whether it wants the option `of`

  const char* name;
  const char* summary;               ///< one line for `freshet help`, beginning with when to use it
  std::vector<const char*> options;  ///< of OutlierMethodOptions, those it reads
  bool by_event_time = false;        ///< rows are held and sorted first
  bool transforms = true;            ///< `transform` may be set
  bool own_tail = true;              ///< its p-value means something without calibration
  bool calibrated = true;            ///< default of `calibrate`
  Of of = Of::kNo;
  /// Reports what is wrong to `bind.diagnostics`.
  std::optional<BoundOutlierMethod> (*bind)(const OptionsNode& options, const BindContext& bind);
};

const std::vector<OutlierMethod>& OutlierMethods();
/// The options of single methods. Each is an error (FR3541) where the method chosen does not read it.
std::vector<OptionSpec> OutlierMethodOptions();
/// The method that `method` names, with its options; reports what is wrong.
struct ChosenOutlierMethod {
  const OutlierMethod* method = nullptr;
  BoundOutlierMethod bound;
};
std::optional<ChosenOutlierMethod> ChooseOutlierMethod(const OptionsNode& options, const BindContext& bind);

}  // namespace freshet
