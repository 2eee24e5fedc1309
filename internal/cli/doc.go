// Package cli is what the client commands of the program tapstack do: they ask
// a daemon by its client, and print as the tools do that people know (ss, ip,
// ping, nc, nstat). It parses what stands behind a command's name and flags;
// the flags themselves are cmd/tapstack's.
//
// It has no goroutine but those of nc while it runs.
package cli

import "errors"

// UsageError is a mistake in the command line.
type UsageError struct{ Err error }

// Error is what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *UsageError) Unwrap() error { return e.Err }

// ErrNegative is an answer that is no error and no success: no reply to a
// ping, no open port. It has been told.
var ErrNegative = errors.New("no")
