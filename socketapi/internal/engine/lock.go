package engine

import "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

// lock takes ep's lock for the fraction of a microsecond that a look takes, the
// way gVisor's own timers do and not the way its calls do (LockUser). The
// difference is what a TCP processor does that has a segment for ep meanwhile:
// it tries again at once, instead of leaving the segment to whoever unlocks,
// who then wakes the processor. At full speed those wakes cost more than the
// looks do.
//
// StopWork is exported for gVisor's tests. Should it go, LockUser does.
func lock(ep *tcp.Endpoint) { ep.StopWork() }

func unlock(ep *tcp.Endpoint) { ep.ResumeWork() }

// Lock takes ep's lock for [ReadLocked] and whatever must happen together with
// it. Like a function given to [Watch] its holder calls nothing of ep, does not
// block, and is quick.
func Lock(ep *tcp.Endpoint) { lock(ep) }

// Unlock releases what Lock took.
func Unlock(ep *tcp.Endpoint) { unlock(ep) }
