package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Auth decides whether a user may use a proxy. It is called concurrently, and
// must not take long.
type Auth func(user, password string) bool

// Users is an Auth for a fixed set of users and their passwords. How long it
// takes does not tell how much of a guess was right.
func Users(passwords map[string]string) Auth {
	sums := make(map[[32]byte][32]byte, len(passwords))
	for user, password := range passwords {
		sums[sha256.Sum256([]byte(user))] = sha256.Sum256([]byte(password))
	}
	return func(user, password string) bool {
		want, known := sums[sha256.Sum256([]byte(user))]
		got := sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && known
	}
}
