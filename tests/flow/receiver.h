#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "connectors/format/row_writer.h"
#include "engine/flow/network_sink.h"

namespace freshet::test {

/// A receiver in the same process that outlives crashes: what it was sent, and what it answers.
struct Receiver {
  std::vector<Parcel> taken;     ///< answered with "delivered", in order
  std::vector<Parcel> attempts;  ///< all
  std::function<DeliveryResult(const Parcel&)> answer = [](const Parcel&) { return DeliveryResult(); };

  std::set<std::string> ids() const {
    std::set<std::string> found;
    for (const Parcel& parcel : taken) found.insert(parcel.id);
    return found;
  }
};

class ReceiverSink final : public NetworkSink {
 public:
  explicit ReceiverSink(std::shared_ptr<Receiver> receiver) : receiver_(std::move(receiver)) {}
  Status Open(const SinkOpenContext&) override { return Status::Ok(); }
  void AppendRow(const Batch& batch, int32_t row, bool first, std::string* payload) override {
    if (!first) *payload += ',';
    writers_.For(batch.schema()).AppendObject(batch, row, payload);
  }
  DeliveryResult Send(const Parcel& parcel) override {
    receiver_->attempts.push_back(parcel);
    DeliveryResult result = receiver_->answer(parcel);
    if (result.kind == DeliveryResult::Kind::kDelivered) receiver_->taken.push_back(parcel);
    return result;
  }
  void Interrupt() override {}
  std::string target() const override { return "the test"; }

 private:
  const std::shared_ptr<Receiver> receiver_;
  RowWriterSet writers_{RowFormat::kNdjson};
};

inline DeliveryResult Later(const std::string& reason = "busy") {
  return {DeliveryResult::Kind::kRetryLater, reason, std::nullopt};
}
inline DeliveryResult Refused(const std::string& reason = "no") {
  return {DeliveryResult::Kind::kRefused, reason, std::nullopt};
}

}  // namespace freshet::test
