#include "tests/tidy/checks.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <regex>

namespace freshet::tidy {
namespace {

constexpr int kLinesMax = 800;

using Names = std::vector<std::string_view>;

// What operators and connectors may see of the flow: contracts, never the runtime.
const Names kFlowContracts = {
    "engine/flow/message.h",      "engine/flow/operator.h",   "engine/flow/source.h",   "engine/flow/decoder.h",
    "engine/flow/sink.h",         "engine/flow/descriptor.h", "engine/flow/registry.h", "engine/flow/context.h",
    "engine/flow/network_sink.h", "engine/flow/command.h",    "engine/flow/combiner.h",
};

struct Room {
  std::string_view folder;
  Names may_include;  // folders, or single headers
  bool state_tables = false;
  bool flow_contracts = false;
};

// DESIGN.md §1, top to bottom. The longest folder that matches a path is its room.
const std::vector<Room>& Rooms() {
  static const std::vector<Room> rooms = {
      {"engine/base", {}},
      {"engine/options", {"engine/base"}},
      {"engine/batch", {"engine/base"}},
      {"engine/expr", {"engine/base", "engine/options", "engine/batch"}},
      {"engine/metrics", {"engine/base"}},
      {"engine/state", {"engine/base", "engine/batch", "engine/metrics"}},
      {"engine/flow", {"engine/base", "engine/options", "engine/batch", "engine/state", "engine/metrics"}},
      {"engine/plan", {"engine/base", "engine/options", "engine/batch", "engine/expr", "engine/flow"}},
      {"engine/serve", {"engine/base", "engine/metrics", "engine/flow"}},
      {"engine/embed",
       {"engine/base", "engine/options", "engine/batch", "engine/state", "engine/plan", "engine/flow",
        "operators/registry.h", "connectors/registry.h"}},
      {"engine/cli", {"engine", "operators", "connectors"}},
      {"operators", {"engine/base", "engine/options", "engine/batch", "engine/expr", "engine/metrics"}, true, true},
      {"connectors/format", {"engine/base", "engine/options", "engine/batch", "engine/metrics"}, false, true},
      {"connectors/net", {"engine/base", "engine/options", "engine/batch", "engine/metrics"}, false, true},
      {"connectors",
       {"engine/base", "engine/options", "engine/batch", "engine/metrics", "connectors/format", "connectors/net"},
       false,
       true},
  };
  return rooms;
}

struct Library {
  std::string_view header;  // prefix of what stands between the brackets
  Names places;             // prefixes of paths; with '*' in front: any path that contains the rest
  bool source_only = false;
};

const std::vector<Library>& Libraries() {
  static const std::vector<Library> libraries = {
      {"oneapi/tbb", {"engine/flow/tbb_runtime"}, true},
      {"tbb/", {"engine/flow/tbb_runtime"}, true},
      {"rocksdb/", {"engine/state/rocksdb"}, true},
      {"yaml-cpp/", {"engine/plan/reader", "engine/plan/yaml_reader", "engine/plan/yaml"}, true},
      {"curl/", {"connectors/net/"}},
      {"openssl/", {"engine/base/signed_link"}, true},
      {"simdjson", {"connectors/format/"}},
      {"zlib.h", {"connectors/"}},
      {"zstd.h", {"connectors/"}},
      {"xsimd/", {"*/kernels/"}},
      {"httplib.h", {"engine/serve/"}, true},
      {"concurrentqueue/", {"engine/base/"}},
      {"sanitizer/", {"engine/base/"}},
      {"readerwriterqueue/", {"engine/base/"}},
      {"spdlog/", {"engine/base/"}, true},
      {"fmt/", {"engine/base/"}, true},
      {"xxhash.h", {"engine/base/", "engine/batch/", "engine/state/", "connectors/"}, true},
      {"date/", {"engine/base/", "engine/batch/", "engine/expr/", "connectors/format/"}, true},
      {"fast_float/", {"engine/base/", "engine/batch/", "engine/expr/", "connectors/format/"}},
      {"re2/", {"engine/expr/"}, true},
      {"CLI/", {"engine/cli/"}, true},
      {"boost/math/", {"operators/outlier/"}, true},
  };
  return libraries;
}

constexpr std::array kSystemFolders = {"sys/", "arpa/", "netinet/", "net/", "linux/"};

bool StartsWithAny(std::string_view text, const Names& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return text.starts_with(p); });
}

bool IsHeader(std::string_view path) { return path.ends_with(".h"); }

bool IsIsaSource(std::string_view path) {
  return path.find("/kernels/") != std::string_view::npos &&
         (path.ends_with("_avx2.cc") || path.ends_with("_avx512.cc"));
}

// True for "engine/base" in "engine/base/x.h", and for a header that equals the entry.
bool Covers(std::string_view entry, std::string_view path) {
  return path == entry || (path.starts_with(entry) && path.size() > entry.size() && path[entry.size()] == '/');
}

const Room* RoomOf(std::string_view path) {
  const Room* best = nullptr;
  for (const Room& room : Rooms()) {
    if (Covers(room.folder, path) && (best == nullptr || room.folder.size() > best->folder.size())) best = &room;
  }
  return best;
}

bool MayInclude(const Room& room, std::string_view header) {
  const Room* target = RoomOf(header);
  if (target == &room) return true;
  for (std::string_view entry : room.may_include) {
    if (Covers(entry, header)) return true;
  }
  if (room.state_tables && header.starts_with("engine/state/") && header.find("table") != std::string_view::npos) {
    return true;
  }
  return room.flow_contracts && std::find(kFlowContracts.begin(), kFlowContracts.end(), header) != kFlowContracts.end();
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

struct Include {
  std::string_view header;  // empty: the line is no include
  bool angle = false;
};

Include ParseInclude(std::string_view line) {
  line = Trim(line);
  if (!line.starts_with("#")) return {};
  line = Trim(line.substr(1));
  if (!line.starts_with("include")) return {};
  line = Trim(line.substr(7));
  if (line.empty() || (line.front() != '<' && line.front() != '"')) return {};
  const bool angle = line.front() == '<';
  const size_t end = line.find(angle ? '>' : '"', 1);
  if (end == std::string_view::npos) return {};
  return {line.substr(1, end - 1), angle};
}

class Findings {
 public:
  explicit Findings(std::string_view path) : path_(path) {}
  void Add(int line, std::string_view rule, std::string message) {
    list_.push_back({std::string(path_), line, std::string(rule), std::move(message)});
  }
  std::vector<Finding> Take() { return std::move(list_); }

 private:
  std::string_view path_;
  std::vector<Finding> list_;
};

void CheckThirdParty(std::string_view path, std::string_view header, int line, Findings& findings) {
  if (StartsWithAny(path, {"tests/", "bench/"})) return;  // anything: nobody includes them
  for (const Library& library : Libraries()) {
    if (!header.starts_with(library.header)) continue;
    const bool at_home = std::any_of(library.places.begin(), library.places.end(), [&](std::string_view place) {
      return place.front() == '*' ? path.find(place.substr(1)) != std::string_view::npos : path.starts_with(place);
    });
    if (at_home && !(library.source_only && IsHeader(path))) return;
    std::string places;
    for (std::string_view place : library.places) places += (places.empty() ? "" : ", ") + std::string(place);
    findings.Add(line, "third-party",
                 "<" + std::string(header) + "> belongs to " + places + (library.source_only ? " (.cc only)" : ""));
    return;
  }
  const bool system = std::any_of(kSystemFolders.begin(), kSystemFolders.end(),
                                  [&](std::string_view folder) { return header.starts_with(folder); });
  if (header.find('/') != std::string_view::npos && !system) {
    findings.Add(line, "third-party", "<" + std::string(header) + "> has no place in tests/tidy/checks.cc yet");
  }
}

void CheckIsa(std::string_view header, int line, Findings& findings) {
  const bool harmless = header == "cstdint" || header == "cstddef" || header == "immintrin.h" ||
                        header.starts_with("xsimd/") || header.find("/kernels/") != std::string_view::npos;
  if (!harmless) findings.Add(line, "isa", "an instruction-set file may not include " + std::string(header));
}

// Blanks comments, string and character literals, so that words in them are no code. Line by line; block comments and
// raw strings over several lines are followed by `in_block`.
std::string CodeOnly(std::string_view line, bool& in_block) {
  std::string code;
  for (size_t i = 0; i < line.size();) {
    if (in_block) {
      const size_t end = line.find("*/", i);
      if (end == std::string_view::npos) return code;
      in_block = false;
      i = end + 2;
    } else if (line.substr(i, 2) == "//") {
      return code;
    } else if (line.substr(i, 2) == "/*") {
      in_block = true;
      i += 2;
    } else if (line[i] == '"' ||
               (line[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(line[i - 1]))))) {
      const char quote = line[i++];
      while (i < line.size() && line[i] != quote) i += line[i] == '\\' ? 2 : 1;
      ++i;
      code += "\"\"";
    } else {
      code += line[i++];
    }
  }
  return code;
}

// True if `word` stands in `code` and no identifier character precedes it.
bool HasWord(std::string_view code, std::string_view word) {
  for (size_t at = code.find(word); at != std::string_view::npos; at = code.find(word, at + 1)) {
    const char before = at == 0 ? ' ' : code[at - 1];
    if (!std::isalnum(static_cast<unsigned char>(before)) && before != '_' && before != '.' && before != '>')
      return true;
  }
  return false;
}

bool HasAnyWord(std::string_view code, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return HasWord(code, word); });
}

bool Allows(std::string_view line, std::string_view rule) {
  const size_t at = line.find("tidy-allow: ");
  return at != std::string_view::npos && line.substr(at + 12).starts_with(rule);
}

void CheckName(std::string_view path, Findings& findings) {
  const size_t slash = path.rfind('/');
  const std::string_view name = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  const std::string_view stem = name.substr(0, name.rfind('.'));
  const bool snake = std::all_of(stem.begin(), stem.end(),
                                 [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '_'; });
  if (!snake) findings.Add(0, "name", "file names are snake_case");
  for (std::string_view vague : {"utils", "util", "helpers", "helper", "common", "manager", "misc"}) {
    if (stem == vague || stem.ends_with("_" + std::string(vague))) {
      findings.Add(0, "name", "'" + std::string(vague) + "' says nothing: name the thing");
    }
  }
}

void CheckCodeLine(std::string_view path, std::string_view line, std::string_view code, int number,
                   Findings& findings) {
  const bool product = StartsWithAny(path, {"engine/", "operators/", "connectors/"});
  const auto add = [&](std::string_view rule, std::string message) {
    if (!Allows(line, rule)) findings.Add(number, rule, std::move(message));
  };
  if (IsHeader(path) && HasWord(code, "using namespace")) add("namespace", "no `using namespace` in a header");
  if (HasAnyWord(code, {"std::random_device", "std::rand(", "rand(", "std::mt19937", "std::default_random_engine"}) ||
      (HasWord(code, "std::") && code.find("_distribution<") != std::string_view::npos)) {
    add("random", "differs between libraries and runs: use engine/base/rng.h");
  }
  if (product && !path.starts_with("engine/cli/") &&
      HasAnyWord(code, {"std::cout", "std::cerr", "printf(", "std::printf(", "puts(", "std::puts(", "abort(",
                        "std::abort(", "exit(", "std::exit(", "std::terminate("})) {
    add("print", "the library never prints and never ends the process");
  }
  if (!path.starts_with("engine/base/") && !path.starts_with("bench/") &&
      HasAnyWord(code,
                 {"std::this_thread::sleep_for", "std::this_thread::sleep_until", "usleep(", "sleep(", "nanosleep("})) {
    add("sleep", "no sleeps for correctness: wait through Env, or for a condition");
  }
  if (product && !path.starts_with("engine/base/") &&
      HasAnyWord(code, {"std::chrono::system_clock::now", "std::chrono::steady_clock::now", "clock_gettime(",
                        "gettimeofday("})) {
    add("clock", "time comes from Env");
  }
}

}  // namespace

std::vector<Finding> CheckIncludes(std::string_view path, std::string_view text) {
  Findings findings(path);
  const Room* room = RoomOf(path);
  int number = 0;
  for (std::string_view line : Lines(text)) {
    ++number;
    const Include include = ParseInclude(line);
    if (include.header.empty()) continue;
    if (IsIsaSource(path)) CheckIsa(include.header, number, findings);
    const Room* target = RoomOf(include.header);
    if (include.angle) {
      if (target != nullptr) findings.Add(number, "include", "our own headers stand in quotes");
      CheckThirdParty(path, include.header, number, findings);
    } else if (target == nullptr && !StartsWithAny(include.header, {"tests/", "bench/"})) {
      findings.Add(number, "include", "\"" + std::string(include.header) + "\" is no path from the repository's root");
    } else if (room != nullptr && (target == nullptr || !MayInclude(*room, include.header))) {
      findings.Add(number, "include",
                   std::string(room->folder) + "/ may not include " + std::string(include.header) + " (DESIGN.md §1)");
    }
  }
  return findings.Take();
}

std::vector<Finding> CheckText(std::string_view path, std::string_view text) {
  Findings findings(path);
  CheckName(path, findings);
  const std::vector<std::string_view> lines = Lines(text);
  if (lines.size() > kLinesMax) {
    findings.Add(0, "length", std::to_string(lines.size()) + " lines, at most " + std::to_string(kLinesMax));
  }
  if (!text.empty() && text.back() != '\n') findings.Add(0, "newline", "the last line has no end");
  if (IsHeader(path) &&
      std::none_of(lines.begin(), lines.end(), [](auto line) { return Trim(line) == "#pragma once"; })) {
    findings.Add(1, "pragma-once", "a header without #pragma once");
  }
  bool in_block = false;
  bool in_raw = false;
  int number = 0;
  for (std::string_view line : lines) {
    ++number;
    if (in_raw) {  // a raw string's text is data: it may hold tabs and any word
      in_raw = line.find(")\"") == std::string_view::npos && line.find(")yaml\"") == std::string_view::npos &&
               line.find(")json\"") == std::string_view::npos && line.find(")csv\"") == std::string_view::npos;
      continue;
    }
    if (line.find('\t') != std::string_view::npos) findings.Add(number, "tab", "tab");
    if (!line.empty() && (line.back() == ' ' || line.back() == '\r'))
      findings.Add(number, "space", "space at line end");
    const std::string code = CodeOnly(line, in_block);
    CheckCodeLine(path, line, code, number, findings);
    const size_t raw = line.find("R\"");
    in_raw = raw != std::string_view::npos && line.find(")", raw) == std::string_view::npos;
  }
  return findings.Take();
}

std::vector<Finding> CheckTopLevel(const std::vector<std::string>& names) {
  static const Names allowed = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "engine", "operators",
                                "connectors",     "pipelines",         "bench",   "tests",     "conf",   "scripts"};
  Findings findings("");
  std::vector<Finding> list;
  for (const std::string& name : names) {
    if (name.starts_with(".") || name == "build") continue;  // dot-files; what .gitignore hides
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      list.push_back({name, 0, "layout", "the top level is fixed (DESIGN.md §1)"});
    }
  }
  return list;
}

std::set<std::string> TestNames(std::string_view source) {
  static const std::regex opening(R"re(TEST_CASE(?:_FIXTURE|_TEMPLATE)?\([^"]{0,80}"([^"]+)")re");
  std::set<std::string> names;
  const std::string text(source);
  for (std::sregex_iterator at(text.begin(), text.end(), opening), end; at != end; ++at) names.insert((*at)[1]);
  return names;
}

std::vector<Finding> CheckNamedTests(std::string_view path, std::string_view text, const std::set<std::string>& tests) {
  static const std::regex name("`([A-Z][A-Za-z0-9]*_\\w+)`");
  std::vector<Finding> findings;
  const std::string whole(text);
  for (std::sregex_iterator at(whole.begin(), whole.end(), name), end; at != end; ++at) {
    const std::string test = (*at)[1];
    if (tests.count(test) > 0) continue;
    const auto line = 1 + std::count(whole.begin(), whole.begin() + at->position(), '\n');
    findings.push_back({std::string(path), static_cast<int>(line), "test", "there is no test `" + test + "`"});
  }
  return findings;
}

std::string ToString(const Finding& finding) {
  std::string text = finding.path;
  if (finding.line > 0) text += ":" + std::to_string(finding.line);
  return text + ": [" + finding.rule + "] " + finding.message;
}

}  // namespace freshet::tidy
