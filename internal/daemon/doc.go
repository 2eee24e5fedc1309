// Package daemon is what the program tapstack does with the other packages:
// it reads a configuration, makes the TAPs and the stack on them, and runs the
// services inside. No one who embeds the stack needs it.
//
//	Load, Parse, Flags.Config -> Config -> Run -> tap.Open, stack.AddNIC
//	                                           -> StartServices -> socketapi.Listen
//
// Whatever the operator has to change is a [*ConfigError]: one line that says
// where, what, and what to do. Every other error is a failure of the running
// daemon.
//
// Goroutines: one per listening socket, one or two per connection. All belong
// to a [Services], whose Shutdown waits for them; [Run] returns when none is
// left. To see what it does, give Run a logger at debug level.
package daemon
