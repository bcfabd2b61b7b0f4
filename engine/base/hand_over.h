#pragma once

/// What goes from thread to thread through a library that was built without ThreadSanitizer (oneTBB) looks to it like a
/// race. These tell it of the hand-over; without it they are nothing. `place` is any address that both sides know.
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace freshet {

/// All that this thread has done so far is before what follows a TakenOver of the same place.
inline void HandOver([[maybe_unused]] const void* place) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(const_cast<void*>(place));
#endif
}
inline void TakenOver([[maybe_unused]] const void* place) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(const_cast<void*>(place));
#endif
}

}  // namespace freshet
