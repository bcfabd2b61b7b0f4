#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/flow/descriptor.h"
#include "engine/flow/graph_spec.h"
#include "engine/options/option_spec.h"
#include "engine/options/options_node.h"

namespace freshet {

/// Options every source has, whatever its type: `time`, `on_error`, `credit`, `on_overflow`, `read`, `validation`. A
/// source type that declares one of these itself reads it itself.
const std::vector<OptionSpec>& SourceOptions();

/// Options every sink has, whatever its type: `guarantee`.
const std::vector<OptionSpec>& SinkOptions();

/// `max_skew`, of every other node type that may have several inputs.
OptionSpec MaxSkewOption();
/// What it says, or its default. `bounded`: all of the `source_count` sources that feed the node are.
std::optional<Duration> BindMaxSkew(const OptionsNode& options, size_t source_count, bool bounded,
                                    Diagnostics* diagnostics);

/// Options of `settings:`.
const std::vector<OptionSpec>& SettingsOptions();

/// All options of a node as they may be written: the type's own, then the common ones of its kind.
std::vector<OptionSpec> AllOptions(const NodeDescriptor& descriptor);

/// What `settings:` says.
struct Settings {
  int parallelism = 0;  ///< 0: as many as the process may use
  Duration checkpoint_every = Duration::Seconds(10);
  Duration checkpoint_timeout = Duration::Seconds(600);
  std::string checkpoint_path;  ///< the state directory, relative to the cwd or absolute
  int checkpoint_keep = 2;
  std::optional<int64_t> memory_limit;  ///< bytes; absent: half of what the process may use
  Duration linger = Duration::Millis(5);
  std::optional<AlertLinks> alert_links;
  bool operator==(const Settings&) const = default;
};

/// Reads `settings` (may be null), already checked. `directory` is that of the pipeline file; `name` is the pipeline's.
Settings ReadSettings(const OptionsNode& options, const std::string& directory, const std::string& name, Env* env,
                      Diagnostics* diagnostics);

/// "exactly once", "effectively once", "at least once".
const char* DeliveryName(Delivery delivery);

/// Reports FR2118 and returns false if the sink gives less than its `guarantee` asks for.
bool CheckGuarantee(const OptionsNode& options, const BindContext& context, const BoundSink& sink,
                    Diagnostics* diagnostics);

/// Fills the engine's part of a source from its common options: time, on_error, credits. `declared_by_type` are names
/// the type reads itself. Problems go to `diagnostics`; returns false if the time could not be bound. `time_columns`
/// gets the names of the columns that the time is made of.
bool BindSourceOptions(const OptionsNode& options, const NodeDescriptor& descriptor, const Schema& schema,
                       SourceNode* node, std::vector<std::string>* time_columns, Diagnostics* diagnostics);

}  // namespace freshet
