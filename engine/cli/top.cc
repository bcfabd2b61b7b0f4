#include "engine/cli/top.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "engine/base/units.h"
#include "engine/cli/progress.h"

namespace freshet::cli {
namespace {

constexpr const char* kBold = "\033[1m";
constexpr const char* kReverse = "\033[7m";
constexpr const char* kPlain = "\033[0m";

std::string Percent(double ratio) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f %%", ratio * 100);
  return text;
}

/// "12.3 k", "4.56 M": three digits are enough to look at.
std::string Short(double value) {
  const char* const units[] = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || value >= 99.95 ? "%.0f%s" : "%.1f%s", value, units[unit]);
  return text;
}

std::string Lag(const JsonValue& node) {
  if (node["ended"].boolean()) return "ended";
  const JsonValue& lag = node["watermark_lag_us"];
  if (lag.is_null()) return "-";
  const int64_t us = std::max<int64_t>(lag.integer(), 0);
  // Replays are years behind: days are enough then.
  if (us >= 86400000000) return FormatCount(us / 86400000000) + " d";
  return us >= 10000000 ? FormatClock(us) : FormatDuration(Duration::Millis(us / 1000));
}

int64_t RowsOf(const JsonValue& node, const char* key) { return node["rows"][key].integer(); }

struct Column {
  const char* head;
  bool left;
  std::string (*text)(const JsonValue& node);
};
const Column kColumns[] = {
    {"NODE", true, [](const JsonValue& n) { return n["id"].text(); }},
    {"TYPE", true, [](const JsonValue& n) { return n["type"].text(); }},
    {"BUSY", false, [](const JsonValue& n) { return Percent(n["load"]["busy_ratio"].number()); }},
    {"WAITS", false, [](const JsonValue& n) { return Percent(n["load"]["backpressured_ratio"].number()); }},
    {"IN/s", false, [](const JsonValue& n) { return Short(n["load"]["rows_in_per_second"].number()); }},
    {"OUT/s", false, [](const JsonValue& n) { return Short(n["load"]["rows_out_per_second"].number()); }},
    {"BYTES/s", false, [](const JsonValue& n) { return Short(n["load"]["bytes_in_per_second"].number()); }},
    {"QUEUE", false, [](const JsonValue& n) { return Short(n["queued"].number()); }},
    {"LAG", false, Lag},
    {"STATE", false, [](const JsonValue& n) { return FormatSize(n["state_bytes"].integer()); }},
    {"LATE", false, [](const JsonValue& n) { return Short(static_cast<double>(RowsOf(n, "late"))); }},
    {"DEAD", false, [](const JsonValue& n) { return Short(static_cast<double>(RowsOf(n, "dead"))); }},
};

/// The bottleneck first, then by busy share; equal ones in the order of the graph.
std::vector<size_t> Order(const JsonValue& pipeline) {
  const auto& nodes = pipeline["nodes"].items();
  std::vector<size_t> order(nodes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const std::string& slowest = pipeline["bottleneck"]["node"].text();
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_first = !slowest.empty() && nodes[a]["id"].text() == slowest;
    const bool b_first = !slowest.empty() && nodes[b]["id"].text() == slowest;
    if (a_first != b_first) return a_first;
    return nodes[a]["load"]["busy_ratio"].number() > nodes[b]["load"]["busy_ratio"].number();
  });
  return order;
}

std::string Head(const JsonValue& pipeline) {
  const JsonValue& checkpoint = pipeline["checkpoint"];
  std::string line = pipeline["name"].text() + "  " + pipeline["phase"].text() + " for " +
                     FormatClock(pipeline["running_us"].integer());
  if (!pipeline["progress"].is_null()) line += "  " + Percent(pipeline["progress"].number());
  line += "  checkpoint " + FormatCount(checkpoint["committed_epoch"].integer());
  if (!checkpoint["last_at"].is_null())
    line += " in " + FormatDuration(Duration::Millis(checkpoint["last_duration_us"].integer() / 1000)) + " at " +
            checkpoint["last_at"].text().substr(11, 8);
  if (checkpoint["failed"].integer() > 0) line += ", " + FormatCount(checkpoint["failed"].integer()) + " failed";
  if (checkpoint["paused"].boolean()) line += "  PAUSED: " + checkpoint["last_error"].text();
  return line;
}

std::string BottleneckLine(const JsonValue& pipeline) {
  const JsonValue& bottleneck = pipeline["bottleneck"];
  if (bottleneck.is_null()) return "no bottleneck: it waits for its input";
  return "bottleneck: " + bottleneck["node"].text() + ", busy " + Percent(bottleneck["busy_ratio"].number());
}

std::string Padded(const std::string& text, size_t width, bool left) {
  const std::string room(width > text.size() ? width - text.size() : 0, ' ');
  return left ? text + room : room + text;
}

class Page {
 public:
  explicit Page(const TopStyle& style) : style_(style) {}
  void Add(std::string line, const char* look = "") {
    if (style_.height > 0 && count_ + 1 >= style_.height) return;
    ++count_;
    if (line.size() > style_.width) line.resize(style_.width);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text_ += style_.color && *look != 0 ? look + line + kPlain + "\n" : line + "\n";
  }
  std::string Take() { return std::move(text_); }

 private:
  const TopStyle style_;
  size_t count_ = 0;
  std::string text_;
};

void AddTable(const JsonValue& pipeline, Page* page) {
  const auto& nodes = pipeline["nodes"].items();
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells(nodes.size());
  for (const Column& column : kColumns) {
    size_t width = std::string_view(column.head).size();
    for (size_t n = 0; n < nodes.size(); ++n) {
      cells[n].push_back(column.text(nodes[n]));
      width = std::max(width, cells[n].back().size());
    }
    widths.push_back(width);
  }
  const auto line = [&](const auto& text_of) {
    std::string text;
    for (size_t c = 0; c < std::size(kColumns); ++c)
      text += (c == 0 ? "" : "  ") + Padded(text_of(c), widths[c], kColumns[c].left);
    return text;
  };
  page->Add("  " + line([](size_t c) { return std::string(kColumns[c].head); }), kBold);
  for (const size_t n : Order(pipeline)) {
    const bool slowest = nodes[n]["id"].text() == pipeline["bottleneck"]["node"].text();
    page->Add((slowest ? "> " : "  ") + line([&](size_t c) { return cells[n][c]; }), slowest ? kReverse : "");
    if (!nodes[n]["waiting_for"].is_null()) page->Add("    waiting: " + nodes[n]["waiting_for"].text());
  }
}

}  // namespace

std::string RenderTop(const JsonValue& answer, const TopStyle& style) {
  Page page(style);
  bool first = true;
  for (const JsonValue& pipeline : answer["pipelines"].items()) {
    if (!std::exchange(first, false)) page.Add("");
    page.Add(Head(pipeline), kBold);
    page.Add(BottleneckLine(pipeline));
    if (!pipeline["error"].is_null()) page.Add("error: " + pipeline["error"].text());
    AddTable(pipeline, &page);
  }
  return page.Take();
}

}  // namespace freshet::cli
