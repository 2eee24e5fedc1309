package world

import (
	"os"
	"testing"
)

// keepsake is a file that is of interest only if its test fails.
type keepsake struct{ *os.File }

func newKeepsake(t testing.TB) (keepsake, error) {
	f, err := os.CreateTemp("", "tapstack-*.pcapng")
	return keepsake{f}, err
}

// finish closes the file and removes it, or says where it is.
func (k keepsake) finish(t testing.TB) {
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log("capture:", k.Name())
		return
	}
	_ = os.Remove(k.Name())
}
