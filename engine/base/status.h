#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace freshet {

/// What went wrong, coarse enough to act on.
enum class StatusCode : uint8_t {
  kOk = 0,
  kInvalidArgument,  ///< the caller or the pipeline file is wrong
  kNotFound,         ///< a file, key or node does not exist
  kAlreadyExists,    ///< something stands where we wanted to write
  kUnavailable,      ///< a peer or resource is away; may come back
  kDataLoss,         ///< bytes are torn, truncated or fail their checksum
  kIo,               ///< the operating system refused a read or a write
  kNoSpace,          ///< the disk is full
  kLocked,           ///< another process holds it
  kCancelled,        ///< we were asked to stop
  kUnsupported,      ///< known, but not possible here
  kInternal,         ///< a bug in Freshet
};

/// Who has to act: the author of the pipeline, the outside world, or us.
enum class ErrorDomain : uint8_t { kUser, kExternal, kInternal };

/// Whether trying the same thing again later can help.
enum class RetryHint : uint8_t { kNever, kLater };

const char* StatusCodeName(StatusCode code);

/// The outcome of something that can fail: OK, or a code with a sentence that says what to do.
/// One pointer wide; OK costs nothing. Not thread-safe while being assigned; safe to read from many threads.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message);
  Status(const Status& other);
  Status(Status&&) noexcept = default;
  Status& operator=(const Status& other);
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  static Status Ok() { return Status(); }
  static Status InvalidArgument(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }
  static Status NotFound(std::string message) { return {StatusCode::kNotFound, std::move(message)}; }
  static Status AlreadyExists(std::string message) { return {StatusCode::kAlreadyExists, std::move(message)}; }
  static Status Unavailable(std::string message) { return {StatusCode::kUnavailable, std::move(message)}; }
  static Status DataLoss(std::string message) { return {StatusCode::kDataLoss, std::move(message)}; }
  static Status Io(std::string message) { return {StatusCode::kIo, std::move(message)}; }
  static Status NoSpace(std::string message) { return {StatusCode::kNoSpace, std::move(message)}; }
  static Status Locked(std::string message) { return {StatusCode::kLocked, std::move(message)}; }
  static Status Cancelled(std::string message) { return {StatusCode::kCancelled, std::move(message)}; }
  static Status Unsupported(std::string message) { return {StatusCode::kUnsupported, std::move(message)}; }
  static Status Internal(std::string message) { return {StatusCode::kInternal, std::move(message)}; }
  /// Maps an errno value to a code and adds the system's text: "WHAT: No space left on device".
  static Status FromErrno(int error, std::string_view what);

  bool ok() const { return detail_ == nullptr; }
  StatusCode code() const { return detail_ ? detail_->code : StatusCode::kOk; }
  ErrorDomain domain() const;
  RetryHint retry() const;
  const std::string& message() const;
  /// The node of the pipeline in which it happened; empty when unknown.
  const std::string& node_id() const;
  /// Returns the same status with the node's id, unless it has one already.
  Status WithNode(std::string_view node_id) &&;
  /// Returns the same status with "PREFIX: " before the message.
  Status WithContext(std::string_view prefix) &&;
  /// "node `ID`: message" or only the message.
  std::string ToString() const;

 private:
  struct Detail {
    StatusCode code;
    std::string message;
    std::string node_id;
  };
  std::unique_ptr<Detail> detail_;
};

/// A value or the Status that explains why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}         // NOLINT: implicit on purpose
  Result(Status status) : value_(std::in_place_index<1>, std::move(status)) {}  // NOLINT: implicit on purpose
  bool ok() const { return value_.index() == 0; }
  /// REQUIRES: ok().
  T& value() & { return std::get<0>(value_); }
  const T& value() const& { return std::get<0>(value_); }
  T&& value() && { return std::get<0>(std::move(value_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Status status() const& { return ok() ? Status::Ok() : std::get<1>(value_); }
  Status status() && { return ok() ? Status::Ok() : std::get<1>(std::move(value_)); }

 private:
  std::variant<T, Status> value_;
};

}  // namespace freshet

#define FRESHET_CONCAT_INNER(a, b) a##b
#define FRESHET_CONCAT(a, b) FRESHET_CONCAT_INNER(a, b)

#define FRESHET_RETURN_IF_ERROR(expression)                                                           \
  do {                                                                                                \
    if (::freshet::Status freshet_status = (expression); !freshet_status.ok()) return freshet_status; \
  } while (false)

#define FRESHET_ASSIGN_OR_RETURN(target, expression) \
  FRESHET_ASSIGN_OR_RETURN_INNER(FRESHET_CONCAT(freshet_result_, __LINE__), target, expression)
#define FRESHET_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                      \
  if (!result.ok()) return std::move(result).status();             \
  target = std::move(result).value()
