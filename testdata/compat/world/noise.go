package world

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// Noise is n bytes in which no part is like another, the same each time.
func Noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

// Digest reads r to its end and says what was there: length and SHA-256.
func Digest(r io.Reader) (string, error) {
	h := sha256.New()
	// Neither end may take a shortcut around Read.
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 64<<10))
	return fmt.Sprint(n, " bytes, ", hex.EncodeToString(h.Sum(nil))), err
}

// WantNoise reads r to its end, which has to be Noise(n).
func WantNoise(t testing.TB, r io.Reader, n int64) {
	t.Helper()
	got, err := Digest(r)
	if err != nil {
		t.Errorf("after %s: %v", got, err)
	}
	if want := NoiseDigest(n); got != want {
		t.Errorf("received %s, want %s", got, want)
	}
}

// NoiseDigest is the Digest of Noise(n).
func NoiseDigest(n int64) string {
	d, err := Digest(Noise(n))
	if err != nil {
		panic(err) // neither noise nor SHA-256 fails
	}
	return d
}
