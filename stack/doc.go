// Package stack is one gVisor network stack on one or more Ethernet devices:
// link endpoint, addresses, routes, neighbours and counters. It is the layer
// between package tap (frames) and package socketapi (sockets); it holds no
// policy, opens no device and knows no file descriptor.
//
// A received frame goes
//
//	tap.Queue.Read -> link.readLoop -> link.deliver -> IPv4/IPv6/ARP (gVisor)
//	                                                -> TCP processor, UDP, ICMP
//
// and a sent packet
//
//	TCP, UDP, ICMP (gVisor) -> link.WritePackets -> tap.Queue.Write
//
// Goroutines: one of ours per device queue, and one that watches the device's
// MTU and state; both end when the device does;
// gVisor's TCP processors, GOMAXPROCS of them; and, when a device fails, one
// that tears the stack down. [Stack.Close] waits for all of them.
//
// Errors are errnos (see [Errno]); gVisor's own error type never leaves this
// package. To see what the stack drops, read [Stack.Stats]: nothing is logged.
// gVisor's own log is switched off, for the process, unless GVISOR_LOG is set
// in the environment.
package stack
