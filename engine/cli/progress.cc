#include "engine/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/cli/loading.h"

namespace freshet::cli {
namespace {

constexpr int64_t kDrawEveryUs = 250000;
constexpr int64_t kLogEveryUs = 10000000;

// The live line, shared with the log's hooks.
std::mutex line_mutex;
std::string live_line;

size_t TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

void Draw(std::string line) {
  line.resize(std::min(line.size(), TerminalWidth() - 1));
  const std::lock_guard lock(line_mutex);
  live_line = std::move(line);
  std::fprintf(stderr, "\r\033[K%s\r", live_line.c_str());
}

/// Prints through another sink, with the live line out of the way.
class ApartSink final : public Sink {
 public:
  explicit ApartSink(std::unique_ptr<Sink> inner) : inner_(std::move(inner)) {}
  Status Open(const SinkOpenContext& ctx) override { return inner_->Open(ctx); }
  Status Write(const Batch& batch, int64_t first_ordinal) override {
    HideLiveLine();
    Status status = inner_->Write(batch, first_ordinal);
    ShowLiveLine();
    return status;
  }
  Result<std::string> PrepareCommit(Epoch epoch) override { return inner_->PrepareCommit(epoch); }
  Status Commit(Epoch epoch) override { return inner_->Commit(epoch); }
  Status Abort(Epoch epoch) override { return inner_->Abort(epoch); }
  Status Finish() override { return inner_->Finish(); }
  void Close() noexcept override { inner_->Close(); }
  std::string Summary() const override { return inner_->Summary(); }

 private:
  std::unique_ptr<Sink> inner_;
};

/// Where event time stands at the slowest source, behind the clock for live ones.
std::string DescribeTime(const RunSession& session, const JobReport& report) {
  EventTime slowest = EventTime::Max();
  bool live = false;
  for (size_t n = 0; n < report.nodes.size(); ++n) {
    if (report.nodes[n].node_class != NodeClass::kSource) continue;
    slowest = std::min(slowest, report.nodes[n].watermark);
    const int at = session.pipeline().Find(report.nodes[n].id);
    if (at >= 0)
      live = live || !std::get<SourceNode>(session.pipeline().graph.nodes[static_cast<size_t>(at)].kind).bound.bounded;
  }
  if (slowest == EventTime::Max() || slowest == EventTime::Min()) return {};
  if (!live) return "event time " + FormatTime(EventTime{slowest.us / 1000000 * 1000000});
  const int64_t lag_ms = (Env::Posix()->WallMicros() - slowest.us) / 1000;
  return "lag " +
         FormatDuration(Duration::Millis(lag_ms >= 1000 ? lag_ms / 1000 * 1000 : std::max<int64_t>(lag_ms, 0)));
}

}  // namespace

void HideLiveLine() {
  line_mutex.lock();
  if (!live_line.empty()) std::fputs("\r\033[K", stderr);
}
void ShowLiveLine() {
  if (!live_line.empty()) std::fprintf(stderr, "%s\r", live_line.c_str());
  line_mutex.unlock();
}

void KeepLiveLineApart(GraphSpec* spec) {
  for (NodeSpec& node : spec->nodes) {
    auto* sink = std::get_if<SinkNode>(&node.kind);
    if (sink == nullptr || node.type != "console") continue;
    sink->bound.make_sink = [make = sink->bound.make_sink] { return std::make_unique<ApartSink>(make()); };
  }
}

std::string FormatClock(int64_t us) {
  const int64_t s = (us + 500000) / 1000000;
  char text[48];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(s / 3600),
                  static_cast<long long>(s / 60 % 60), static_cast<long long>(s % 60));
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(s / 60), static_cast<long long>(s % 60));
  return text;
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(StandardErrorIsTerminal()) {
  last_us_ = Env::Posix()->SteadyMicros();
  if (terminal_ && !quiet_) SetLogHooks(HideLiveLine, ShowLiveLine);
}

Progress::~Progress() {
  Clear();
  if (terminal_ && !quiet_) SetLogHooks(nullptr, nullptr);
}

void Progress::Clear() {
  const std::lock_guard lock(line_mutex);
  if (!live_line.empty()) std::fputs("\r\033[K", stderr);
  live_line.clear();
}

std::string Progress::Describe(const RunSession& session, int64_t now_us) {
  const JobReport report = session.Report();
  const int64_t records = RunSession::RecordsRead(report);
  Sample& sample = samples_[&session];
  if (sample.at_us == 0) sample = {now_us - session.elapsed_us(), session.records_before(), -1, now_us, -1};
  const double seconds = static_cast<double>(std::max<int64_t>(1, now_us - sample.at_us)) / 1e6;
  const double rate = static_cast<double>(records - sample.records) / seconds;
  // Half of the new, half of the old: steady to look at, quick to follow.
  sample.at_us = now_us;
  sample.records = records;
  sample.rate = sample.rate < 0 ? rate : (sample.rate + rate) / 2;

  std::string text = session.name() + "  " + FormatCount(records) + " records  " +
                     FormatCount(static_cast<int64_t>(sample.rate)) + "/s";
  if (const std::string time = DescribeTime(session, report); !time.empty()) text += "  " + time;
  int64_t alerts = -1;
  for (const NodeReport& node : report.nodes)
    if (node.type == "alert") alerts = std::max<int64_t>(alerts, 0) + node.counters.out;
  if (alerts >= 0) text += "  " + FormatCount(alerts) + (alerts == 1 ? " alert" : " alerts");
  if (report.checkpoint_last_wall_us != 0)
    text += "  checkpoint " + FormatClock(Env::Posix()->WallMicros() - report.checkpoint_last_wall_us) + " ago";
  if (report.progress && *report.progress > 0) {
    char share[16];
    std::snprintf(share, sizeof share, "  %.0f %%", *report.progress * 100);
    text += share;
    if (sample.first_share < 0) {
      sample.first_share = *report.progress;
      sample.first_us = now_us;
    }
    const double gained = *report.progress - sample.first_share;
    const double left = static_cast<double>(now_us - sample.first_us) * (1 - *report.progress) / gained;
    if (gained > 0 && *report.progress < 1) text += "  " + FormatClock(static_cast<int64_t>(left)) + " left";
  }
  return text;
}

void Progress::Update(const std::vector<std::unique_ptr<RunSession>>& sessions) {
  const int64_t now_us = Env::Posix()->SteadyMicros();
  if (quiet_ || now_us - last_us_ < (terminal_ ? kDrawEveryUs : kLogEveryUs)) return;
  last_us_ = now_us;
  std::string line;
  for (const auto& session : sessions) {
    if (session->over()) continue;
    const std::string text = Describe(*session, now_us);
    if (!terminal_) {
      Log(LogLevel::kInfo, text);
      continue;
    }
    line += (line.empty() ? "" : "  |  ") + text;
  }
  if (terminal_) Draw(line);
}

}  // namespace freshet::cli
