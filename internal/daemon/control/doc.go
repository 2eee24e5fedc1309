// Package control serves the control API (package api) over a Unix socket: who
// may ask is checked by the credentials that the kernel vouches for, how much
// by limits on sizes, times and numbers.
//
//	Listener.Accept -> peerConn (SO_PEERCRED, budget)
//	Server.Serve -> http.Server -> dispatch -> route -> handler -> Backend
//
// What the API does is the [Backend]'s; this package parses, refuses, and
// writes answers.
//
// Goroutines: net/http's, one per connection, and those of upgraded
// connections; [Server.Close] waits for all of them.
package control
