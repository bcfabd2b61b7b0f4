#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "engine/base/limits.h"
#include "engine/state/keyed_table.h"

namespace freshet {

/// A number for each key group of the lane, kept with the checkpoint: what holds for all keys of a group alike, such as
/// how far their windows have closed. Survives a change of the number of lanes. One thread.
class KeyGroupNumbers final : public StateTable {
 public:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
  explicit KeyGroupNumbers(std::string name) : name_(std::move(name)) { numbers_.fill(kNone); }

  int64_t at(uint16_t key_group) const { return numbers_[key_group]; }
  void Set(uint16_t key_group, int64_t number) {
    changed_ = changed_ || numbers_[key_group] != number;
    numbers_[key_group] = number;
  }
  uint16_t first_key_group() const { return first_; }
  uint16_t last_key_group() const { return last_; }
  /// The least of the lane's groups.
  int64_t lowest() const { return *std::min_element(numbers_.begin() + first_, numbers_.begin() + last_ + 1); }
  /// Of all groups of the lane: each becomes at least `number`.
  void Raise(int64_t number) {
    for (uint16_t g = first_; g <= last_; ++g) {
      changed_ = changed_ || numbers_[g] < number;
      numbers_[g] = std::max(numbers_[g], number);
    }
  }
  void Reset() {
    for (uint16_t g = first_; g <= last_; ++g) {
      changed_ = changed_ || numbers_[g] != kNone;
      numbers_[g] = kNone;
    }
  }

  const std::string& name() const override { return name_; }
  const TableOptions& options() const override { return options_; }
  int64_t BeginDrain(EntrySink sink) override {
    if (std::exchange(changed_, false)) Send(sink, true);
    return 0;
  }
  void ForEachEncoded(const std::function<void(const StateEntry&)>& sink) const override { Send(sink, false); }
  Status RestoreEntry(uint16_t key_group, std::string_view, std::string_view value, uint16_t) override {
    ByteSource source(value);
    if (key_group < kKeyGroupCount) numbers_[key_group] = source.GetI64();
    return source.ok() && source.exhausted() ? Status::Ok()
                                             : Status::DataLoss("table `" + name_ + "`: a number cannot be read");
  }
  int64_t size() const override { return 0; }
  int64_t memory_bytes() const override { return sizeof *this; }
  void AttachCommitted(std::unique_ptr<CommittedRows> rows) override {
    first_ = rows->first_key_group;
    last_ = rows->last_key_group;
  }

 private:
  void Send(const std::function<void(const StateEntry&)>& sink, bool with_erased) const {
    ByteSink scratch;
    for (uint16_t g = first_; g <= last_; ++g) {
      const bool erased = numbers_[g] == kNone;
      if (erased && !with_erased) continue;
      scratch.Clear();
      scratch.PutI64(numbers_[g]);
      sink({g, {}, scratch.bytes(), erased});
    }
  }

  const std::string name_;
  const TableOptions options_{1, "number per key group", false};
  std::array<int64_t, kKeyGroupCount> numbers_;
  uint16_t first_ = 0;
  uint16_t last_ = kKeyGroupCount - 1;
  bool changed_ = false;
};

inline Result<KeyGroupNumbers*> StateContext::OpenNumbers(const std::string& name) {
  auto table = std::make_unique<KeyGroupNumbers>(name);
  KeyGroupNumbers* raw = table.get();
  FRESHET_RETURN_IF_ERROR(Adopt(std::move(table)));
  return raw;
}

}  // namespace freshet
