// Package life is what surrounds a daemon from its start to its end, whatever
// it does in between:
//
//	NewLog    text or JSON, levels changed live, repetitions counted
//	Claim     one at a time; what a killed one left is taken over
//	Listen    the control socket, with its mode from the first instant
//	Notifier  tells the service manager: ready, reloading, stopping, alive
//	Catch     SIGTERM drains, a second one ends; SIGHUP reloads
//
// All of it is set up before privileges are dropped, and works after: sockets
// and files are opened once and kept.
//
// Goroutines: one per [Signals] until Stop, one per [Notifier.Watch] until its
// context is done. To see what the service manager hears, set NOTIFY_SOCKET to
// a socket of your own (socat -u UNIX-RECV:/tmp/notify -).
package life
