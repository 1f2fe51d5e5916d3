#pragma once
/// Allocations of this process so far, of all threads. Linking this target replaces malloc and its kin by ones that count.
long allocation_counter_read(void);
