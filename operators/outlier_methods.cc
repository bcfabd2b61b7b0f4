#include "operators/outlier_methods.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "operators/detector_columns.h"
#include "operators/outlier/count_outlier.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/gesd.h"
#include "operators/outlier/hampel.h"
#include "operators/outlier/holt_winters.h"
#include "operators/outlier/iqr_fence.h"
#include "operators/outlier/ratio_outlier.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/seasonal_baseline.h"
#include "operators/outlier/spectral_residual.h"

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
  BoundOutlierMethod bound;
  bound.make = [model] { return std::make_unique<Model>(model); };
  bound.fingerprint = std::move(fingerprint);
  return bound;
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

SeasonClock ReadSeason(const OptionsNode& options, std::string* fingerprint) {
  Duration period, step;
  Read(options, "period", &period);
  Read(options, "step", &step);
  if (step.us > 0) *fingerprint += " step " + std::to_string(step.us);
  if (period.us > 0) *fingerprint += " period " + std::to_string(period.us);
  return {period.us, step.us};
}

/// Reads `zone`. FR3543 where there is none of that name.
Bound WithZone(const OptionsNode& options, const BindContext& bind, Bound bound) {
  const std::string zone = options.FindString("zone").value_or("UTC");
  if (!bound || zone == "UTC") return bound;
  bound->zone = FindTimeZone(zone);
  bound->fingerprint += " of " + zone;
  if (bound->zone != nullptr) return bound;
  bind.diagnostics->Error("FR3543", options.span("zone"), "there is no time zone `" + zone + "`",
                          "names are those of the IANA database, such as Europe/Berlin");
  return std::nullopt;
}

Bound BindGesd(const OptionsNode& options, const BindContext& bind) {
  GesdOptions o;
  Read(options, "window", &o.window);
  Read(options, "threshold", &o.threshold);
  Read(options, "outliers_max", &o.share_max);
  Read(options, "significance", &o.significance);
  std::string fingerprint = "gesd window " + std::to_string(o.window);
  o.season = ReadSeason(options, &fingerprint);
  if (GesdModel::Validate(o).ok())
    o.critical = std::make_shared<const std::vector<double>>(RosnerCriticalValues(o.window, o.significance));
  return WithZone(options, bind, Finish<GesdModel>(o, std::move(fingerprint), bind));
}

Bound BindHoltWinters(const OptionsNode& options, const BindContext& bind) {
  HoltWintersOptions o;
  Read(options, "alpha", &o.alpha);
  Read(options, "beta", &o.beta);
  Read(options, "gamma", &o.gamma);
  Read(options, "damping", &o.damping);
  Read(options, "threshold", &o.threshold);
  std::string fingerprint =
      "holt_winters " + Text(o.alpha) + " " + Text(o.beta) + " " + Text(o.gamma) + " " + Text(o.damping);
  o.season = ReadSeason(options, &fingerprint);
  return WithZone(options, bind, Finish<HoltWinters>(o, std::move(fingerprint), bind));
}

Bound BindSeasonal(const OptionsNode& options, const BindContext& bind) {
  SeasonalBaselineOptions o;
  o.by_week = options.FindString("season").value_or("hour_of_week") == "hour_of_week";
  Read(options, "threshold", &o.threshold);
  return WithZone(options, bind, Finish<SeasonalBaseline>(o, o.by_week ? "seasonal by week" : "seasonal by day", bind));
}

Bound BindSpectral(const OptionsNode& options, const BindContext& bind) {
  SpectralResidualOptions o;
  Read(options, "window", &o.window);
  Read(options, "threshold", &o.threshold);
  return Finish<SpectralResidual>(o, "spectral_residual window " + std::to_string(o.window), bind);
}

/// The period wants the step in which rows come.
bool CheckSeason(const OptionsNode& options, const BindContext& bind) {
  if (!options.Has("period") || options.Has("step")) return true;
  bind.diagnostics->Error("FR3542", options.span("period"), "`period` needs `step`: how far apart in time rows are",
                          "such as `step: 1h`; a season has one expectation a step");
  return false;
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
      {.name = "gesd",
       .summary = "a share of outliers in any window, also seasonal; seasonal hybrid ESD",
       .options = {"threshold", "window", "outliers_max", "significance", "period", "step", "zone"},
       .by_event_time = true,
       .bind = BindGesd},
      {.name = "holt_winters",
       .summary = "trends, and seasons of any length; robust damped smoothing",
       .options = {"threshold", "alpha", "beta", "gamma", "damping", "period", "step", "zone"},
       .by_event_time = true,
       .bind = BindHoltWinters},
      {.name = "seasonal",
       .summary = "what people do by hours of the day or the week; medians of visits",
       .options = {"threshold", "season", "zone"},
       .by_event_time = true,
       .bind = BindSeasonal},
      {.name = "spectral_residual",
       .summary = "patterns of any shape; what stands out of the window's spectrum",
       .options = {"threshold", "window"},
       .by_event_time = true,
       .own_tail = false,
       .bind = BindSpectral},
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
      "instead of by max_p. Default 3; mad, seasonal 3.5, iqr 1.5 (interquartile ranges beyond a quartile), gesd "
      "Rosner's critical value.",
      1e-6, std::numeric_limits<double>::infinity());
  add("alpha", OptionKind::kFloat,
      "Weight of the newest value. Default 0.05; counts and ratios 0.02, holt_winters (its level) 0.2.", 1e-6, 0.5);
  add("window", OptionKind::kInt, "Values remembered. Default 101; hampel 25, gesd 500, spectral_residual 128.", 5,
      65535);
  specs.push_back(DetectorOption("adjust_skew", OptionKind::kBool,
                                 "iqr: fences of the adjusted boxplot, further out on the longer side.", "false"));
  add("outliers_max", OptionKind::kFloat, "gesd: share of the window that may be outliers. Default 0.1.", 1e-3, 0.49);
  add("significance", OptionKind::kFloat,
      "gesd: of the test which remembered values are outliers, over the whole window. Default 0.05.", 1e-9, 0.5);
  add("beta", OptionKind::kFloat, "holt_winters: weight of the newest step in the trend. Default 0.05.", 0, 0.999);
  add("gamma", OptionKind::kFloat, "holt_winters: weight of the newest value in its season. Default 0.1.", 0, 0.999);
  add("damping", OptionKind::kFloat, "holt_winters: what of the trend is left a step later. Default 0.98.", 1e-3, 1);
  add("period", OptionKind::kDuration,
      "gesd, holt_winters: what repeats, such as 1d or 7d, counted from midnight in `zone` (weeks from Thursday). A "
      "whole number of steps, at most 10,080. Without it no season.",
      1, std::numeric_limits<double>::infinity());
  add("step", OptionKind::kDuration,
      "gesd, holt_winters: how far apart rows are; holt_winters forecasts over gaps by it. Needed with `period`.", 1,
      std::numeric_limits<double>::infinity());
  specs.push_back(DetectorOption("season", OptionKind::kEnum,
                                 "seasonal: hours of the week, which need a week to begin, or of the day. Default "
                                 "hour_of_week."));
  specs.back().enum_values = {"hour_of_week", "hour_of_day"};
  specs.push_back(DetectorOption("zone", OptionKind::kString,
                                 "Whose hours and midnight: a name of the IANA database. Default UTC."));
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
  good = CheckSeason(options, bind) && good;
  if (!good) return std::nullopt;
  auto bound = method->bind(options, bind);
  if (!bound) return std::nullopt;
  return ChosenOutlierMethod{&*method, std::move(*bound)};
}

}  // namespace freshet
