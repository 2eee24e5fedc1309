//go:build !linux

package netns

import "errors"

var errOS = &UnavailableError{Op: "this system", Err: errors.ErrUnsupported, Remedy: "only Linux has them"}

// NS is a network namespace. There is none on this system.
type NS struct{}

// New returns an [*UnavailableError].
func New() (*NS, error) { return nil, errOS }

// Run returns an [*UnavailableError] and does not call fn.
func Run(func() error) error { return errOS }

// Do returns an [*UnavailableError] and does not call fn.
func (*NS) Do(func() error) error { return errOS }

// Close does nothing.
func (*NS) Close() error { return nil }

// Enter returns an [*UnavailableError].
func Enter() error { return errOS }
