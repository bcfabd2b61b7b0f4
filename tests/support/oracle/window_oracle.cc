#include "tests/support/oracle/window_oracle.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>

namespace freshet::testing {
namespace {

__extension__ using Quad = __float128;
__extension__ using Wide = __int128;

using Key = std::pair<std::optional<int64_t>, std::optional<std::string>>;
using Rows = std::vector<const WindowRow*>;

constexpr int64_t kGlobalEnd = 253402300800000000;  // 10000-01-01

std::string Text(const std::optional<int64_t>& v) { return v ? std::to_string(*v) : "null"; }
std::string Text(const std::optional<std::string>& v) { return v ? "'" + *v + "'" : "null"; }
std::string Text(const std::optional<double>& v) {
  char text[64];
  if (!v) return "null";
  std::snprintf(text, sizeof text, "%.17g", *v);
  return text;
}

template <class Wanted>
std::optional<int64_t> SumX(const Rows& rows, Wanted wanted) {
  Wide sum = 0;
  bool any = false;
  for (const WindowRow* r : rows) {
    if (!r->x || !wanted(*r)) continue;
    sum += *r->x;
    any = true;
  }
  if (!any || sum > INT64_MAX || sum < INT64_MIN) return std::nullopt;
  return static_cast<int64_t>(sum);
}

/// The sample variance in two passes.
template <class Value>
std::optional<double> Variance(const Rows& rows, Value value) {
  Quad sum = 0;
  int n = 0;
  for (const WindowRow* r : rows)
    if (value(*r)) sum += static_cast<Quad>(*value(*r)), ++n;
  if (n < 2) return std::nullopt;
  const Quad mean = sum / n;
  Quad squares = 0;
  for (const WindowRow* r : rows)
    if (value(*r)) squares += (static_cast<Quad>(*value(*r)) - mean) * (static_cast<Quad>(*value(*r)) - mean);
  return static_cast<double>(squares / (n - 1));
}

WindowResult Aggregate(int64_t start, int64_t end, int64_t moment, const Key& key, int key_columns, Rows rows) {
  std::string text = "@" + std::to_string(std::min(end - 1, moment)) + " wm " + std::to_string(moment);
  text += end == kGlobalEnd ? " window_start=null window_end=null"
                            : " window_start=" + std::to_string(start) + " window_end=" + std::to_string(end);
  if (key_columns > 0) text += " k=" + Text(key.first);
  if (key_columns > 1) text += " s=" + Text(key.second);
  int64_t nx = 0, nf = 0;
  Quad sum_f = 0;
  std::optional<double> min_f;
  std::optional<int64_t> max_x, last_x;
  std::optional<std::string> first_t, min_t;
  std::set<std::string> distinct;
  std::sort(rows.begin(), rows.end(), [](const WindowRow* a, const WindowRow* b) {
    return std::tie(a->time_us, a->ordinal) < std::tie(b->time_us, b->ordinal);
  });
  for (const WindowRow* r : rows) {
    if (r->x) ++nx, max_x = std::max(max_x.value_or(*r->x), *r->x), last_x = r->x;
    if (r->f) ++nf, sum_f += static_cast<Quad>(*r->f), min_f = std::min(min_f.value_or(*r->f), *r->f);
    if (r->t && !first_t) first_t = r->t;
    if (r->t) min_t = std::min(min_t.value_or(*r->t), *r->t), distinct.insert(*r->t);
  }
  std::optional<double> sum, average;
  if (nf > 0) sum = static_cast<double>(sum_f), average = *sum / static_cast<double>(nf);
  text += " n=" + std::to_string(rows.size()) + " nx=" + std::to_string(nx);
  text += " sx=" + Text(SumX(rows, [](const WindowRow&) { return true; })) + " sf=" + Text(sum) +
          " af=" + Text(average) + " mn=" + Text(min_f);
  text +=
      " mx=" + Text(max_x) + " fi=" + Text(first_t) + " la=" + Text(last_x) + " dc=" + std::to_string(distinct.size());
  text += " px=" + Text(SumX(rows, [](const WindowRow& r) { return r.f && *r.f > 0; })) + " mt=" + Text(min_t);
  WindowResult result{std::move(text), Variance(rows, [](const WindowRow& r) { return r.f; }),
                      Variance(rows, [](const WindowRow& r) { return r.x; })};
  if (result.stddev_f) result.stddev_f = std::sqrt(*result.stddev_f);
  return result;
}

int64_t FloorTo(int64_t t, int64_t unit) {
  const int64_t floor = t / unit * unit;
  return floor > t ? floor - unit : floor;
}

/// Ends of the windows that hold a moment.
std::vector<int64_t> EndsOf(int64_t t, int64_t size_us, int64_t slide_us, bool cumulate) {
  std::vector<int64_t> ends;
  if (size_us == 0) return {kGlobalEnd};
  if (cumulate) {
    const int64_t start = FloorTo(t, size_us);
    for (int64_t end = start + slide_us; end <= start + size_us; end += slide_us)
      if (end > t) ends.push_back(end);
    return ends;
  }
  for (int64_t start = FloorTo(t, slide_us); start + size_us > t; start -= slide_us) ends.push_back(start + size_us);
  return ends;
}

}  // namespace

const char* const kOracleAggregates =
    "aggregates:\n  n: count(*)\n  nx: count(x)\n  sx: sum(x)\n  sf: sum(f)\n  af: avg(f)\n  mn: min(f)\n  mx: "
    "max(x)\n  fi: first(t)\n"
    "  la: last(x)\n  dc: count(distinct t)\n  px: sum(x) filter (where f > 0)\n  mt: min(t)\n  sd: stddev(f)\n  vx: "
    "var(x)\n";

WindowExpectation WindowOracle(const std::vector<WindowRow>& rows, int64_t size_us, int64_t slide_us, int key_columns,
                               int64_t allowed_us, bool cumulate, int64_t early_us) {
  WindowExpectation expected;
  std::map<std::pair<int64_t, Key>, std::vector<std::pair<int64_t, const WindowRow*>>> windows;  // by moment
  for (const WindowRow& row : rows) {
    const std::vector<int64_t> ends = EndsOf(row.time_us, size_us, slide_us, cumulate);
    int64_t counted = 0, missed = 0;
    for (const int64_t end : ends) {
      if (row.watermark_us != INT64_MIN && end <= row.watermark_us - allowed_us) {
        ++missed;
        continue;
      }
      ++counted;
      const Key key{key_columns > 0 ? row.k : std::nullopt, key_columns > 1 ? row.s : std::nullopt};
      const int64_t seen = std::max(row.time_us, row.watermark_us);
      const int64_t moment =
          early_us > 0 ? FloorTo(seen, early_us) + early_us - 1 : std::max(end - 1, row.watermark_us);
      windows[{end, key}].emplace_back(moment, &row);
    }
    if (counted == 0) {
      expected.late.push_back(row.ordinal);
      expected.late_ends.push_back(*std::max_element(ends.begin(), ends.end()));
    } else {
      expected.late_panes += missed;
    }
  }
  std::map<std::tuple<int64_t, int64_t, Key, int64_t>, WindowResult> results;
  for (const auto& [id, members] : windows) {
    std::set<int64_t> moments;
    for (const auto& [moment, row] : members) {
      moments.insert(moment);
      if (moment < id.first) moments.insert(id.first - 1);
    }
    int64_t revision = 0;
    for (const int64_t at : moments) {
      Rows so_far;
      for (const auto& [moment, row] : members)
        if (moment <= at) so_far.push_back(row);
      const int64_t start = cumulate ? FloorTo(id.first - 1, size_us) : id.first - size_us;
      WindowResult result = Aggregate(start, id.first, at, id.second, key_columns, std::move(so_far));
      result.revision = revision++;
      results.emplace(std::tuple(at, std::min(id.first, at + 1), id.second, id.first), std::move(result));
    }
  }
  expected.windows = static_cast<int64_t>(windows.size());
  for (auto& [place, result] : results) expected.results.push_back(std::move(result));
  return expected;
}

WindowExpectation OrderedWindowOracle(std::vector<WindowRow> rows, int64_t gap_us, int64_t count, int64_t every,
                                      int key_columns) {
  std::stable_sort(rows.begin(), rows.end(), [](const WindowRow& a, const WindowRow& b) {
    return std::tie(a.time_us, a.ordinal) < std::tie(b.time_us, b.ordinal);
  });
  std::map<Key, Rows> keys;
  for (const WindowRow& row : rows)
    keys[{key_columns > 0 ? row.k : std::nullopt, key_columns > 1 ? row.s : std::nullopt}].push_back(&row);
  std::map<std::tuple<int64_t, Key, int64_t>, WindowResult> results;
  const auto add = [&](const Key& key, int64_t end, Rows members) {
    const int64_t start = members.front()->time_us;
    const auto number = static_cast<int64_t>(results.size());
    results.emplace(std::tuple(end, key, number), Aggregate(start, end, end - 1, key, key_columns, std::move(members)));
  };
  for (const auto& [key, of_key] : keys) {
    Rows session;
    for (size_t i = 0; i < of_key.size(); ++i) {
      if (gap_us > 0) {
        session.push_back(of_key[i]);
        const int64_t end = of_key[i]->time_us + gap_us;
        if (i + 1 < of_key.size() && of_key[i + 1]->time_us < end) continue;
        add(key, end, std::move(session));
        session.clear();
        continue;
      }
      const auto n = static_cast<int64_t>(i) + 1;
      if (n % every == 0 && n >= count)
        add(key, of_key[i]->time_us + 1, Rows(of_key.begin() + (n - count), of_key.begin() + n));
    }
  }
  WindowExpectation expected;
  expected.windows = static_cast<int64_t>(results.size());
  for (auto& [place, result] : results) expected.results.push_back(std::move(result));
  return expected;
}

WindowExpectation SlidingWindowOracle(std::vector<WindowRow> rows, int64_t size_us, int key_columns) {
  std::stable_sort(rows.begin(), rows.end(), [](const WindowRow& a, const WindowRow& b) {
    return std::tie(a.time_us, a.ordinal) < std::tie(b.time_us, b.ordinal);
  });
  WindowExpectation expected;
  for (size_t i = 0; i < rows.size(); ++i) {
    const WindowRow& row = rows[i];
    Rows members;
    for (size_t j = 0; j <= i; ++j)
      if (rows[j].time_us > row.time_us - size_us && (key_columns < 1 || rows[j].k == row.k) &&
          (key_columns < 2 || rows[j].s == row.s))
        members.push_back(&rows[j]);
    const int64_t end = row.time_us + 1;
    WindowResult result = Aggregate(end - size_us, end, row.time_us, {row.k, row.s}, key_columns, std::move(members));
    // The row's own watermark passes on.
    result.text.replace(result.text.find(" wm ") + 4, std::to_string(row.time_us).size(),
                        std::to_string(row.watermark_us));
    expected.results.push_back(std::move(result));
  }
  return expected;
}

}  // namespace freshet::testing
