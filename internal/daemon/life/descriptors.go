package life

// kept is how many descriptors the process keeps for itself: TAPs, listeners,
// the control socket's connections and those of metrics, files that are read or
// served.
const kept = 256

// SpareDescriptors is how many of the descriptors that this process may have
// (RLIMIT_NOFILE) it can leave to others' connections: all but 256, or half of
// them if that is more.
func SpareDescriptors() int { return spare(openFiles()) }

func spare(limit int) int { return max(limit-kept, limit/2) }
