package control

import (
	"slices"
)

// Credentials are those of a peer when it connected, as the kernel vouches.
type Credentials struct {
	PID      int
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// access is what a peer may do.
type access uint8

const (
	accessNone access = iota
	accessLook
	accessChange
)

// Access says who may do what.
type Access struct {
	// Owner may change things beside root: whoever started the daemon.
	Owner uint32
	// Group may change things too; nil is nobody more.
	Group *uint32
	// Others may look.
	Others bool
}

// of is what a peer with these credentials may do.
func (a *Access) of(c *Credentials) access {
	switch {
	case c.UID == 0 || c.UID == a.Owner:
		return accessChange
	case a.Group != nil && (c.GID == *a.Group || slices.Contains(c.Groups, *a.Group)):
		return accessChange
	case a.Others:
		return accessLook
	}
	return accessNone
}
