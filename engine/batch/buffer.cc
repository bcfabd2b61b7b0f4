#include "engine/batch/buffer.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "engine/base/queue.h"

namespace freshet {
namespace {
constexpr int64_t kAlignment = 64;
constexpr int64_t kSpareBytes = 64;
constexpr int kSmallestLog2 = 8;
constexpr int kLargestLog2 = 22;
/// Idle bytes kept per size class; beyond it buffers go back to the system.
constexpr int64_t kIdleBytesPerClassMax = 16 << 20;
}  // namespace

/// Power-of-two size classes, each a lock-free queue of idle buffers.
class BufferPool {
 public:
  static BufferPool& Instance() {
    static BufferPool* pool = new BufferPool;  // outlives every static that may hold a buffer
    return *pool;
  }

  Buffer* Take(int64_t bytes) {
    const int log2 =
        bytes <= (1 << kSmallestLog2) ? kSmallestLog2 : 64 - std::countl_zero(static_cast<uint64_t>(bytes - 1));
    const int size_class = log2 > kLargestLog2 ? -1 : log2 - kSmallestLog2;
    if (size_class >= 0) {
      Class& c = classes_[size_class];
      Buffer* buffer = nullptr;
      if (c.idle.TryPop(buffer)) {
        c.idle_count.fetch_sub(1, std::memory_order_relaxed);
        recycled_.fetch_add(1, std::memory_order_relaxed);
        return buffer;
      }
    }
    return Fresh(size_class >= 0 ? int64_t{1} << log2 : (bytes + kAlignment - 1) / kAlignment * kAlignment, size_class);
  }

  void Give(Buffer* buffer) {
    if (buffer->size_class_ >= 0) {
      Class& c = classes_[buffer->size_class_];
      if (c.idle_count.load(std::memory_order_relaxed) * buffer->capacity_ < kIdleBytesPerClassMax) {
        c.idle_count.fetch_add(1, std::memory_order_relaxed);
        c.idle.Push(buffer);
        return;
      }
    }
    allocated_.fetch_sub(buffer->capacity_, std::memory_order_relaxed);
    std::free(buffer->data_);
    delete buffer;
  }

  BufferPoolStats stats() const { return {allocated_.load(), recycled_.load(), fresh_.load()}; }

 private:
  struct Class {
    MpmcQueue<Buffer*> idle{128};
    std::atomic<int64_t> idle_count{0};
  };

  Buffer* Fresh(int64_t capacity, int size_class) {
    auto* buffer = new Buffer;
    buffer->data_ = static_cast<uint8_t*>(std::aligned_alloc(kAlignment, static_cast<size_t>(capacity + kSpareBytes)));
    if (buffer->data_ == nullptr) throw std::bad_alloc();
    std::memset(buffer->data_ + capacity, 0, kSpareBytes);
    buffer->capacity_ = capacity;
    buffer->size_class_ = size_class;
    allocated_.fetch_add(capacity, std::memory_order_relaxed);
    fresh_.fetch_add(1, std::memory_order_relaxed);
    return buffer;
  }

  Class classes_[kLargestLog2 - kSmallestLog2 + 1];
  std::atomic<int64_t> allocated_{0};
  std::atomic<int64_t> recycled_{0};
  std::atomic<int64_t> fresh_{0};
};

void BufferRef::Release() {
  if (buffer_ != nullptr && buffer_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    BufferPool::Instance().Give(buffer_);
}

BufferRef AllocateBuffer(int64_t bytes) { return BufferRef(BufferPool::Instance().Take(bytes)); }

BufferRef AllocateZeroedBuffer(int64_t bytes) {
  BufferRef buffer = AllocateBuffer(bytes);
  std::memset(buffer->data(), 0, static_cast<size_t>(bytes));
  return buffer;
}

BufferRef GrowBuffer(const BufferRef& old, int64_t used, int64_t bytes) {
  BufferRef grown = AllocateBuffer(bytes);
  if (used > 0) std::memcpy(grown->data(), old->data(), static_cast<size_t>(used));
  return grown;
}

BufferRef ShrinkBuffer(BufferRef buffer, int64_t used) {
  constexpr int64_t kSpareMax = 1024;
  if (!buffer || buffer->capacity() <= 4 * used + kSpareMax) return buffer;
  return GrowBuffer(buffer, used, used);
}

BufferPoolStats GetBufferPoolStats() { return BufferPool::Instance().stats(); }

}  // namespace freshet
