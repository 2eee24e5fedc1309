// Package daemon is what the program tapstack does with the other packages:
// it reads a configuration, makes the TAPs and the stack on them, and runs the
// services inside. No one who embeds the stack needs it.
//
//	Load, Parse, Flags.Config -> Config -> Daemon.Run
//	Run: life.Take (one daemon for each control socket) -> tap.Open, stack.AddNIC
//	     -> StartServices -> socketapi.Listen
//	     -> proxies.start -> proxy.ForwardTCP, SOCKS5, ...
//	     -> control socket, metrics -> Drop -> Ready -> serve
//
// [Services] are the servers inside the stack. Forwards and proxies, which lead
// from the host's network into the stack's or back, are those of package proxy;
// here they get their settings, their networks and, on the host's side, their
// ports, which outlive a change of settings. A reload is a plan of steps that
// can be taken back, so that a file is carried out as a whole or not at all.
//
// What needs privilege is opened before Drop; what a reload asks for later that
// would need it is refused with the reason (package privilege).
//
// Whatever the operator has to change is a [*ConfigError]: one line that says
// where, what, and what to do. Every other error is a failure of the running
// daemon.
//
// Goroutines: one per listening socket, one or two per connection, which belong
// to a [Services] or to a forward or proxy, whose Shutdown waits for them; one
// more for each forward that is retired; those of the control socket and the
// metrics; one for the watchdog. [Run] returns when none is left. To see what it
// does, give Run a logger at debug level; to see what the sandbox refuses, run
// the program with --seccomp=log and read the audit log.
package daemon
