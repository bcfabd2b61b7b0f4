#include "operators/outlier_methods.h"

#include <algorithm>
#include <cstdio>

#include "operators/detector_columns.h"
#include "operators/outlier/count_outlier.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/hampel.h"
#include "operators/outlier/iqr_fence.h"
#include "operators/outlier/ratio_outlier.h"
#include "operators/outlier/rolling_mad.h"

namespace freshet {
namespace {

using Bound = std::optional<BoundOutlierMethod>;

std::string Text(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", v);
  return text;
}

template <class T>
void Read(const OptionsNode& options, const char* name, T* to) {
  if constexpr (std::is_same_v<T, double>) {
    *to = options.FindFloat(name).value_or(*to);
  } else if constexpr (std::is_same_v<T, Duration>) {
    *to = options.FindDuration(name).value_or(*to);
  } else if constexpr (std::is_same_v<T, bool>) {
    *to = options.GetBool(name);
  } else {
    *to = static_cast<T>(options.FindInt(name).value_or(*to));
  }
}

/// The model if its options are valid, else FR3504.
template <class Model, class Options>
Bound Finish(const Options& model, std::string fingerprint, const BindContext& bind) {
  if (const Status valid = Model::Validate(model); !valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  return BoundOutlierMethod{[model] { return std::make_unique<Model>(model); }, std::move(fingerprint)};
}

Bound BindEwma(const OptionsNode& options, const BindContext& bind) {
  EwmaZScoreOptions o;
  Read(options, "alpha", &o.alpha);
  Read(options, "threshold", &o.threshold);
  return Finish<EwmaZScore>(o, "ewma_zscore alpha " + Text(o.alpha), bind);
}

Bound BindMad(const OptionsNode& options, const BindContext& bind) {
  RollingMadOptions o;
  Read(options, "window", &o.window);
  Read(options, "threshold", &o.threshold);
  o.warmup = std::min(o.warmup, o.window);
  return Finish<RollingMad>(o, "mad window " + std::to_string(o.window), bind);
}

Bound BindHampel(const OptionsNode& options, const BindContext& bind) {
  HampelOptions o;
  Read(options, "window", &o.window);
  Read(options, "threshold", &o.threshold);
  return Finish<Hampel>(o, "hampel window " + std::to_string(o.window), bind);
}

Bound BindIqr(const OptionsNode& options, const BindContext& bind) {
  IqrFenceOptions o;
  Read(options, "window", &o.window);
  Read(options, "threshold", &o.threshold);
  Read(options, "adjust_skew", &o.adjust_skew);
  o.warmup = std::min(o.warmup, o.window);
  return Finish<IqrFence>(o, "iqr window " + std::to_string(o.window) + (o.adjust_skew ? " adjusted" : ""), bind);
}

template <bool kOverdispersed>
Bound BindCounts(const OptionsNode& options, const BindContext& bind) {
  CountOutlierOptions o;
  Read(options, "alpha", &o.alpha);
  Read(options, "threshold", &o.threshold);
  o.overdispersed = kOverdispersed;
  o.exposure = options.Has("of");
  return Finish<CountOutlier>(o, (kOverdispersed ? "negbin alpha " : "poisson alpha ") + Text(o.alpha), bind);
}

Bound BindRatio(const OptionsNode& options, const BindContext& bind) {
  RatioOutlierOptions o;
  Read(options, "alpha", &o.alpha);
  Read(options, "threshold", &o.threshold);
  return Finish<RatioOutlier>(o, "beta_binomial alpha " + Text(o.alpha), bind);
}

}  // namespace

const std::vector<OutlierMethod>& OutlierMethods() {
  using Of = OutlierMethod::Of;
  static const std::vector<OutlierMethod> methods = {
      {.name = "ewma_zscore",
       .summary = "steady noise on a drifting level; exponential mean and variance",
       .options = {"threshold", "alpha"},
       .bind = BindEwma},
      {.name = "mad",
       .summary = "heavy tails; median and median absolute deviation of a window",
       .options = {"threshold", "window"},
       .bind = BindMad},
      {.name = "hampel",
       .summary = "bursts on a moving level; as mad, but a burst leaves no trace",
       .options = {"threshold", "window"},
       .bind = BindHampel},
      {.name = "iqr",
       .summary = "lopsided values; Tukey's fences, adjust_skew for strong skew",
       .options = {"threshold", "window", "adjust_skew"},
       .bind = BindIqr},
      {.name = "poisson",
       .summary = "counts of independent events, also rare ones; exact tail",
       .options = {"threshold", "alpha"},
       .transforms = false,
       .calibrated = false,
       .of = Of::kMay,
       .bind = BindCounts<false>},
      {.name = "negbin",
       .summary = "counts that vary more than chance, as most do; exact tail",
       .options = {"threshold", "alpha"},
       .transforms = false,
       .calibrated = false,
       .of = Of::kMay,
       .bind = BindCounts<true>},
      {.name = "beta_binomial",
       .summary = "a ratio `of` n; knows that 1 of 2 says less than 500 of 1000",
       .options = {"threshold", "alpha"},
       .transforms = false,
       .calibrated = false,
       .of = Of::kMust,
       .bind = BindRatio},
  };
  return methods;
}

std::vector<OptionSpec> OutlierMethodOptions() {
  std::vector<OptionSpec> specs;
  const auto add = [&](const char* name, OptionKind kind, const char* doc, double min, double max) {
    specs.push_back(DetectorOption(name, kind, doc));
    specs.back().min = min;
    specs.back().max = max;
  };
  add("threshold", OptionKind::kFloat,
      "Half width of the band, in the score's unit; where it is written, a row is an anomaly when |score| is above it, "
      "instead of by max_p. Default 3; mad 3.5, iqr 1.5 (interquartile ranges beyond a quartile).",
      1e-6, std::numeric_limits<double>::infinity());
  add("alpha", OptionKind::kFloat, "Weight of the newest value. Default 0.05; counts and ratios 0.02.", 1e-6, 0.5);
  add("window", OptionKind::kInt, "Values remembered. Default 101; hampel 25.", 5, 65535);
  specs.push_back(DetectorOption("adjust_skew", OptionKind::kBool,
                                 "iqr: fences of the adjusted boxplot, further out on the longer side.", "false"));
  return specs;
}

std::optional<ChosenOutlierMethod> ChooseOutlierMethod(const OptionsNode& options, const BindContext& bind) {
  const std::vector<OutlierMethod>& methods = OutlierMethods();
  const std::string name = options.GetString("method");
  const auto method = std::find_if(methods.begin(), methods.end(), [&](const auto& m) { return name == m.name; });
  if (method == methods.end()) return std::nullopt;  // reported as no such value
  bool good = true;
  const auto reads = [](const OutlierMethod& m, const std::string& option) {
    return std::any_of(m.options.begin(), m.options.end(), [&](const char* o) { return option == o; });
  };
  for (const OptionSpec& spec : OutlierMethodOptions()) {
    if (!options.Has(spec.name) || reads(*method, spec.name)) continue;
    std::string others;
    for (const OutlierMethod& m : methods)
      if (reads(m, spec.name)) others += (others.empty() ? "" : ", ") + std::string(m.name);
    bind.diagnostics->Error("FR3541", options.span(spec.name),
                            "`" + spec.name + "` has no effect with `method: " + name + "`",
                            "it is an option of " + others);
    good = false;
  }
  if (options.Has("of") && method->of == OutlierMethod::Of::kNo) {
    bind.diagnostics->Error("FR3541", options.span("of"), "`of` has no effect with `method: " + name + "`",
                            "beta_binomial watches a ratio of so many, poisson and negbin counts within an exposure");
    good = false;
  }
  if (!options.Has("of") && method->of == OutlierMethod::Of::kMust) {
    bind.diagnostics->Error("FR3542", options.span("method"), "`" + name + "` needs `of`: how many each ratio is of",
                            "such as `metric: errors / requests` with `of: requests`");
    good = false;
  }
  if (!method->transforms && options.GetString("transform") != "none") {
    bind.diagnostics->Error("FR3541", options.span("transform"),
                            "`" + name + "` looks at counts as they are: `transform` has no effect", "remove it");
    good = false;
  }
  if (!method->own_tail && options.Has("calibrate") && !options.GetBool("calibrate")) {
    bind.diagnostics->Error("FR3542", options.span("calibrate"),
                            "`" + name + "` has no p-value of its own: it needs `calibrate`", "remove it");
    good = false;
  }
  auto bound = method->bind(options, bind);
  if (!good || !bound) return std::nullopt;
  return ChosenOutlierMethod{&*method, std::move(*bound)};
}

}  // namespace freshet
