// Package names finds the addresses of names for a stack: in a table that the
// operator gave, and else by asking DNS servers in the stack's own network. The
// machine's resolver, its hosts file and its search list have no part in it:
// they are about another network.
//
// It is a stub resolver (RFC 1034, 5.3.1): it asks servers that resolve for it,
// over UDP and, where an answer did not fit, over TCP. It keeps no answers.
//
// It has no goroutine that outlives a call.
package names
