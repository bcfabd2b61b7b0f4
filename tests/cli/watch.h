#pragma once

#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/cli/program.h"

namespace freshet::testing {

/// The pipeline `watch` over rows of in.ndjson (`Row`), which it reads to the end. `rest`: what stands below
/// `operators:`, and what follows.
inline std::string Watch(const std::string& rest) {
  return R"(name: watch
sources:
  in:
    type: file
    path: in.ndjson
    format: ndjson
    schema: {at: timestamp, k: string, v: float64}
    time: {field: at, ordered: true}
operators:
)" + rest;
}

/// The same, with a checkpoint each 50 ms, and the end of the file is waited at. `settings`: more lines of those.
inline std::string WatchThatFollows(const std::string& settings, const std::string& rest) {
  return "name: watch\nsettings:\n  checkpoint: {every: 50ms}\n" + settings + R"(sources:
  in:
    type: file
    path: in.ndjson
    format: ndjson
    follow: true
    schema: {at: timestamp, k: string, v: float64}
    time: {field: at, ordered: true, not_before: 2020-01-01}
operators:
)" + rest;
}

/// The rows of these nodes go to out.ndjson.
inline std::string OutOf(const std::string& inputs) {
  return "sinks:\n  out: {type: file, path: out.ndjson, format: ndjson, inputs: [" + inputs + "]}\n";
}

/// Seconds from a start in 2023; `second` also moves the clock of keys that say nothing.
inline std::string Row(int second, const char* key, double value) {
  return "{\"at\":" + std::to_string(1700000000000 + int64_t{second} * 1000) + ",\"k\":\"" + key +
         "\",\"v\":" + std::to_string(value) + "}\n";
}

/// A pipeline that follows, its state and the program that runs it.
struct WatchPlace {
  explicit WatchPlace(const std::string& pipeline)
      : file(shop.Write("watch.yaml", pipeline)), state(shop.Path("state")) {
    shop.Write("in.ndjson", "");
  }
  /// Returns when it is ready. `meanwhile` is called again and again.
  void Start(
      const std::vector<std::string>& more = {}, const std::function<void()>& meanwhile = [] {}) {
    std::vector<std::string> arguments = {"run", file, "--state", state, "--http", "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    program = std::make_unique<Program>(shop, std::move(arguments));
    const auto ready = [&] {
      meanwhile();
      address = shop.Read("state/http.addr");
      if (!address.empty()) address.pop_back();
      return Contains(HttpGet(address, "/readyz"), " 200 ");
    };
    REQUIRE_MESSAGE(Eventually([&] { return ready() || !program->running(); }), program->err());
    REQUIRE_MESSAGE(program->running(), program->err());
  }
  void Kill() {
    program->Signal(SIGKILL);
    program->Wait();
    (void)!remove(shop.Path("state/http.addr").c_str());
  }
  Workshop shop;
  std::string file, state, address;
  std::unique_ptr<Program> program;
};

}  // namespace freshet::testing
