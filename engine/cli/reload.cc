#include "engine/cli/reload.h"

#include <algorithm>

namespace freshet::cli {
namespace {

/// Equal for two values that mean the same, whatever the order of keys. Holds secrets: for comparing only.
std::string Canonical(const ConfigValue& value) {
  const auto text = [](const std::string& s) { return std::to_string(s.size()) + ":" + s; };
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      return "~";
    case ConfigValue::Kind::kScalar:
      return (value.quoted ? "'" : "=") + text(value.text());
    case ConfigValue::Kind::kSequence: {
      std::string all = "[";
      for (const ConfigValue& item : value.items) all += Canonical(item) + ",";
      return all + "]";
    }
    case ConfigValue::Kind::kMap: {
      std::vector<std::string> entries;
      for (const ConfigValue::Entry& entry : value.entries)
        entries.push_back(text(entry.key.value) + Canonical(entry.value));
      std::sort(entries.begin(), entries.end());
      std::string all = "{";
      for (const std::string& entry : entries) all += entry + ",";
      return all + "}";
    }
  }
  return {};
}

const NodeEntry* FindEntry(const Pipeline& pipeline, const std::string& id) {
  for (const NodeEntry& entry : pipeline.file->nodes)
    if (entry.id.value == id) return &entry;
  return nullptr;
}

bool Same(const NodeEntry& a, const NodeEntry& b) {
  return a.kind == b.kind && a.descriptor == b.descriptor && Canonical(a.config) == Canonical(b.config);
}

bool StaysOpen(const Pipeline& pipeline, const std::string& id) {
  const int at = pipeline.Find(id);
  if (at < 0) return false;
  const auto* source = std::get_if<SourceNode>(&pipeline.graph.nodes[static_cast<size_t>(at)].kind);
  return source != nullptr && source->bound.stays_open;
}

std::string Listed(const char* what, const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += (text.empty() ? std::string(what) + " " : ", ") + id;
  return text;
}

}  // namespace

ReloadPlan PlanReload(const Pipeline& now, const Pipeline& next, const std::vector<NodeFit>& fits, bool own_state) {
  ReloadPlan plan;
  if (now.name() != next.name())
    plan.refused.push_back("the pipeline is called `" + next.name() + "` now, and its state belongs to `" + now.name() +
                           "`; keep the name, or stop it and run the new one");
  const Settings& before = now.settings();
  const Settings& after = next.settings();
  if (!own_state && now.name() == next.name() && before.checkpoint_path != after.checkpoint_path)
    plan.refused.push_back("`settings.checkpoint.path` changed, so the state would be another one (" +
                           after.checkpoint_path + "); stop it and run it again");
  plan.settings_changed = before != after;
  for (const NodeEntry& entry : next.file->nodes) {
    const std::string& id = entry.id.value;
    const NodeEntry* old = FindEntry(now, id);
    if (old == nullptr) {
      plan.added.push_back(id);
    } else if (Same(*old, entry)) {
      plan.kept.push_back(id);
    } else {
      plan.restarted.push_back(id);
      if (StaysOpen(now, id))
        plan.refused.push_back("source `" + id +
                               "` cannot be read from the start again, so its options cannot change " +
                               "while it runs; undo the change, or stop the pipeline and run it again");
    }
  }
  for (const NodeEntry& entry : now.file->nodes)
    if (FindEntry(next, entry.id.value) == nullptr) plan.removed.push_back(entry.id.value);
  for (const NodeFit& fit : fits)
    if (fit.kind == NodeFit::Kind::kRefused) plan.refused.push_back("node `" + fit.node_id + "`: " + fit.reason);
  return plan;
}

std::string DescribeReload(const ReloadPlan& plan) {
  std::string text;
  for (const std::string& part : {Listed("kept", plan.kept), Listed("restarted", plan.restarted),
                                  Listed("added", plan.added), Listed("removed", plan.removed)})
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  return text;
}

void FileWatch::Watch(std::vector<std::string> paths) {
  paths_ = std::move(paths);
  known_ = Look();
  last_ = known_;
}

std::vector<FileWatch::Print> FileWatch::Look() const {
  std::vector<Print> prints;
  for (const std::string& path : paths_) {
    const Result<FileInfo> info = env_->Stat(path);
    prints.push_back(info.ok() ? Print{info->inode, info->size, info->modified_us} : Print{});
  }
  return prints;
}

bool FileWatch::Changed() {
  std::vector<Print> now = Look();
  const bool settled = now == last_;
  last_ = std::move(now);
  // A pipeline that is away for a moment is being replaced; a file it included may be gone for good.
  const bool there = !last_.empty() && last_[0].size >= 0;
  if (!settled || !there || last_ == known_) return false;
  known_ = last_;
  return true;
}

}  // namespace freshet::cli
