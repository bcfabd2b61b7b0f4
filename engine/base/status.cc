#include "engine/base/status.h"

#include <cerrno>
#include <cstring>

namespace freshet {
namespace {
const std::string& EmptyString() {
  static const std::string empty;
  return empty;
}
}  // namespace

const char* StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid_argument";
    case StatusCode::kNotFound:
      return "not_found";
    case StatusCode::kAlreadyExists:
      return "already_exists";
    case StatusCode::kUnavailable:
      return "unavailable";
    case StatusCode::kDataLoss:
      return "data_loss";
    case StatusCode::kIo:
      return "io";
    case StatusCode::kNoSpace:
      return "no_space";
    case StatusCode::kLocked:
      return "locked";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kInternal:
      return "internal";
  }
  return "unknown";
}

Status::Status(StatusCode code, std::string message)
    : detail_(code == StatusCode::kOk ? nullptr : new Detail{code, std::move(message), {}}) {}

Status::Status(const Status& other) : detail_(other.detail_ ? new Detail(*other.detail_) : nullptr) {}

Status& Status::operator=(const Status& other) {
  if (this != &other) detail_.reset(other.detail_ ? new Detail(*other.detail_) : nullptr);
  return *this;
}

Status Status::FromErrno(int error, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::strerror(error);
  switch (error) {
    case ENOENT:
      return NotFound(std::move(message));
    case EEXIST:
      return AlreadyExists(std::move(message));
    case ENOSPC:
    case EDQUOT:
      return NoSpace(std::move(message));
    case EWOULDBLOCK:
      return Locked(std::move(message));
    default:
      return Io(std::move(message));
  }
}

ErrorDomain Status::domain() const {
  switch (code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      return ErrorDomain::kUser;
    case StatusCode::kOk:
    case StatusCode::kInternal:
      return ErrorDomain::kInternal;
    default:
      return ErrorDomain::kExternal;
  }
}

RetryHint Status::retry() const {
  const StatusCode c = code();
  return c == StatusCode::kUnavailable || c == StatusCode::kNoSpace ? RetryHint::kLater : RetryHint::kNever;
}

const std::string& Status::message() const { return detail_ ? detail_->message : EmptyString(); }
const std::string& Status::node_id() const { return detail_ ? detail_->node_id : EmptyString(); }

Status Status::WithNode(std::string_view node_id) && {
  if (detail_ && detail_->node_id.empty()) detail_->node_id = node_id;
  return std::move(*this);
}

Status Status::WithContext(std::string_view prefix) && {
  if (detail_) detail_->message = std::string(prefix) + ": " + detail_->message;
  return std::move(*this);
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  return detail_->node_id.empty() ? detail_->message : "node `" + detail_->node_id + "`: " + detail_->message;
}

}  // namespace freshet
