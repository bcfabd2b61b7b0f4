#include "operators/alert/notice_group.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr size_t kMessagesShown = 5;

int64_t After(int64_t at_us, int64_t duration_us) {
  int64_t sum = 0;
  return __builtin_add_overflow(at_us, duration_us, &sum) ? INT64_MAX : sum;
}

void PutPeak(const std::optional<double>& peak, ByteSink& sink) {
  sink.PutBool(peak.has_value());
  sink.PutF64(peak.value_or(0));
}

std::optional<double> GetPeak(ByteSource& source) {
  const bool has = source.GetBool();
  const double value = source.GetF64();
  return has ? std::optional(value) : std::nullopt;
}

void EncodeMember(const NoticeMember& m, ByteSink& sink) {
  sink.PutString(m.id);
  sink.PutI64(m.fired_us);
  sink.PutI64(m.started_us);
  sink.PutI64(m.peaked_us);
  PutPeak(m.peak, sink);
  sink.PutU8(m.severity);
  sink.PutString(m.message);
  sink.PutString(m.row_bytes);
}

NoticeMember DecodeMember(ByteSource& source) {
  NoticeMember m;
  m.id = source.GetString();
  m.fired_us = source.GetI64();
  m.started_us = source.GetI64();
  m.peaked_us = source.GetI64();
  m.peak = GetPeak(source);
  m.severity = source.GetU8();
  m.message = source.GetString();
  m.row_bytes = source.GetString();
  return m;
}

void EncodeNotice(const Notice& n, ByteSink& sink) {
  sink.PutVarint(n.members.size());
  for (const NoticeMember& m : n.members) EncodeMember(m, sink);
  EncodeMember(n.lead, sink);
  sink.PutI64(n.count);
  sink.PutBool(n.held_back);
  sink.PutI64(n.started_us);
  sink.PutI64(n.peaked_us);
  PutPeak(n.peak, sink);
  sink.PutU8(n.severity);
}

bool DecodeNotice(ByteSource& source, Notice* n) {
  const uint64_t count = source.GetVarint();
  if (!source.ok() || count > source.remaining()) return false;
  for (uint64_t i = 0; i < count && source.ok(); ++i) n->members.push_back(DecodeMember(source));
  n->lead = DecodeMember(source);
  n->count = source.GetI64();
  n->held_back = source.GetBool();
  n->started_us = source.GetI64();
  n->peaked_us = source.GetI64();
  n->peak = GetPeak(source);
  n->severity = source.GetU8();
  return source.ok();
}

void TakeWorst(const NoticeMember& m, Notice* n) {
  n->severity = std::max(n->severity, m.severity);
  if (!m.peak || (n->peak && std::abs(*m.peak) <= std::abs(*n->peak))) return;
  n->peak = m.peak;
  n->peaked_us = m.peaked_us;
}

std::vector<NoticeMember>::iterator Find(Notice& notice, const std::string& id) {
  return std::find_if(notice.members.begin(), notice.members.end(), [&](const NoticeMember& m) { return m.id == id; });
}

}  // namespace

void NoticeGroup::OnFiring(NoticeMember member, const NoticeGroupOptions& options) {
  if (waiting_.members.empty()) {
    due_us_ = After(member.fired_us, options.wait_us);
    if (left_once_) due_us_ = std::max(due_us_, After(last_left_us_, options.interval_us));
  }
  waiting_.members.push_back(std::move(member));
}

std::optional<Notice> NoticeGroup::OnResolved(const NoticeMember& member, int64_t ended_us) {
  if (const auto at = Find(waiting_, member.id); at != waiting_.members.end()) {
    waiting_.members.erase(at);
    return std::nullopt;
  }
  for (auto notice = left_.begin(); notice != left_.end(); ++notice) {
    const auto at = Find(*notice, member.id);
    if (at == notice->members.end()) continue;
    TakeWorst(member, &*notice);
    notice->members.erase(at);
    if (!notice->members.empty()) return std::nullopt;
    Notice over = std::move(*notice);
    left_.erase(notice);
    over.ended_us = ended_us;
    return over;
  }
  return std::nullopt;
}

std::optional<int64_t> NoticeGroup::Deadline() const {
  return waiting_.members.empty() ? std::nullopt : std::optional(due_us_);
}

std::optional<int64_t> NoticeGroup::Wakes(const NoticeGroupOptions& options) const {
  if (const auto at = Deadline()) return at;
  if (!left_.empty() || !left_once_) return std::nullopt;
  const int64_t forgotten_us = After(last_left_us_, options.interval_us);
  return forgotten_us < INT64_MAX ? std::optional(forgotten_us) : std::nullopt;
}

Notice& NoticeGroup::OnTime(int64_t now_us) {
  Notice notice = std::move(waiting_);
  waiting_ = Notice();
  notice.lead = notice.members.front();
  notice.count = static_cast<int64_t>(notice.members.size());
  notice.started_us = notice.lead.started_us;
  notice.peaked_us = notice.lead.peaked_us;
  for (const NoticeMember& m : notice.members) {
    notice.started_us = std::min(notice.started_us, m.started_us);
    TakeWorst(m, &notice);
  }
  notice.lead.message = NoticeText(notice);
  for (NoticeMember& m : notice.members) {
    m.row_bytes.clear();
    m.message.clear();
  }
  left_once_ = true;
  last_left_us_ = now_us;
  return left_.emplace_back(std::move(notice));
}

bool NoticeGroup::empty(int64_t now_us, const NoticeGroupOptions& options) const {
  return waiting_.members.empty() && left_.empty() &&
         (!left_once_ || now_us >= After(last_left_us_, options.interval_us));
}

bool NoticeGroup::ChangeRows(const std::function<bool(std::string*)>& change) {
  bool good = true;
  const auto change_one = [&](NoticeMember& m) { good = (m.row_bytes.empty() || change(&m.row_bytes)) && good; };
  const auto change_all = [&](Notice& notice) {
    change_one(notice.lead);
    for (NoticeMember& m : notice.members) change_one(m);
  };
  change_all(waiting_);
  for (Notice& notice : left_) change_all(notice);
  return good;
}

int64_t NoticeGroup::memory_bytes() const {
  const auto of_member = [](const NoticeMember& m) {
    return sizeof(NoticeMember) + m.id.capacity() + m.message.capacity() + m.row_bytes.capacity();
  };
  const auto of = [&](const Notice& notice) {
    size_t bytes = of_member(notice.lead);
    for (const NoticeMember& m : notice.members) bytes += of_member(m);
    return bytes;
  };
  size_t bytes = of(waiting_);
  for (const Notice& notice : left_) bytes += sizeof(Notice) + of(notice);
  return static_cast<int64_t>(bytes);
}

void NoticeGroup::Encode(ByteSink& sink) const {
  EncodeNotice(waiting_, sink);
  sink.PutI64(due_us_);
  sink.PutBool(left_once_);
  sink.PutI64(last_left_us_);
  sink.PutVarint(left_.size());
  for (const Notice& n : left_) EncodeNotice(n, sink);
}

bool NoticeGroup::Decode(ByteSource& source) {
  if (!DecodeNotice(source, &waiting_)) return false;
  due_us_ = source.GetI64();
  left_once_ = source.GetBool();
  last_left_us_ = source.GetI64();
  const uint64_t count = source.GetVarint();
  if (!source.ok() || count > source.remaining()) return false;
  for (uint64_t i = 0; i < count; ++i)
    if (!DecodeNotice(source, &left_.emplace_back())) return false;
  return source.ok();
}

std::string NoticeText(const Notice& notice) {
  if (notice.members.size() == 1) return notice.members[0].message;
  std::string text = std::to_string(notice.members.size()) + " alerts: ";
  for (size_t i = 0; i < std::min(notice.members.size(), kMessagesShown); ++i)
    text += (i == 0 ? "" : "; ") + notice.members[i].message;
  if (notice.members.size() > kMessagesShown)
    text += "; and " + std::to_string(notice.members.size() - kMessagesShown) + " more";
  return text;
}

}  // namespace freshet
