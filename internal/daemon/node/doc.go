// Package node is a running stack as the control API sees it: it lists the
// stack's sockets, links, addresses, routes, neighbours and counters, changes
// what can change, and pings, connects and captures inside its network.
//
//	control.Server -> Node -> stack, socketapi, capture
//
// Goroutines: those of a ping or a connection while it lasts; the call that
// began it waits for them.
package node
