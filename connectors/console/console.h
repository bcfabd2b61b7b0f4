#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "engine/flow/descriptor.h"

namespace freshet {

enum class ConsoleFormat : uint8_t { kText, kNdjson };

struct ConsoleOptions {
  ConsoleFormat format = ConsoleFormat::kNdjson;
  bool color = false;
  int64_t limit = -1;  ///< rows printed; the rest is only counted; -1: all
  /// Where text goes; the default is standard output, flushed after each batch.
  std::function<Status(std::string_view)> write = {};
};

/// Prints rows at once, so at least once: after a crash the rows since the last checkpoint come again.
/// As text an alert row is a sentence and other rows are a table; else each row is a JSON object on a line.
std::unique_ptr<Sink> MakeConsoleSink(ConsoleOptions options);

/// Sink `console`.
NodeDescriptor ConsoleDescriptor();

}  // namespace freshet
