// Package tap moves Ethernet frames between a program and the operating
// system, or between two programs.
//
//	kernel  --- TAP --->  Queue.Read   --->  the stack
//	        <-- TAP ----  Queue.Write  <---
//
// [Open] makes a TAP, [Pipe] two devices back to back in memory. Both are a
// [Device] and behave alike. The package knows Ethernet and nothing above it:
// what a frame carries is its reader's affair.
//
// The package keeps no goroutine: a frame is read and written on the
// caller's. It never logs; [Stats] counts what was lost, and why, and is the
// place to look first.
package tap
