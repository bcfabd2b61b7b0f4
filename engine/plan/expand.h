#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/env.h"
#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// The steps between a read YAML file and the tree that is validated. Each reports what is wrong and goes on.

/// Reads a file, expands its variables and its `include:` keys (relative to the file that holds them): at the top
/// level, in `sources`, `operators` and `sinks`, and in a node. An included file is a map; what the including one says
/// itself wins. nullopt when the file is no readable YAML map. `files` (may be null) gets the paths of all files read.
std::optional<ConfigValue> ReadTree(std::shared_ptr<const SourceText> text, Env* env, Diagnostics* diagnostics,
                                    std::vector<std::string>* files = nullptr);

/// `${NAME}` and `${NAME:-default}` in scalars; `$$` is a dollar sign, any other `$` stays.
void ExpandVariables(ConfigValue* value, Env* env, Diagnostics* diagnostics);

/// Applies one `--set path.to.option=value`. Its spans point into a text named "--set".
void ApplySet(const std::string& argument, ConfigValue* root, Diagnostics* diagnostics);

/// Replaces `{secret: env:NAME}` and `{secret: file:PATH}` (relative to the file it stands in) by the secret, marked so
/// that nobody prints it. With `required` false a secret that cannot be had becomes a placeholder (for `validate`).
void ResolveSecrets(ConfigValue* value, Env* env, bool required, Diagnostics* diagnostics);

/// The directory paths in `span`'s file are relative to: the file's own, or "" (the current one) for the command line.
std::string DirectoryOfSpan(const SourceSpan& span);

}  // namespace freshet
