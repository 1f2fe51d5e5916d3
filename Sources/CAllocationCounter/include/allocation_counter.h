#pragma once

// Linking this target replaces malloc and its kin, as the C library's manual allows ("Replacing malloc"), by ones that
// hand every call on to the C library and can count. Until somebody asks for the count, a call costs one load more.

/// Allocations of this process, of all threads, since the first call of this function; -1 where they cannot be counted
/// (another C library than glibc, or a build with a sanitizer, which has an allocator of its own).
long allocation_counter_read(void);
