package life

import "testing"

func TestSpareDescriptors(t *testing.T) {
	for limit, want := range map[int]int{0: 0, 64: 32, 256: 128, 512: 256, 1024: 768, 1 << 20: 1<<20 - 256} {
		if got := spare(limit); got != want {
			t.Errorf("of %d: %d, want %d", limit, got, want)
		}
	}
	if n := SpareDescriptors(); n < 1 || n >= openFiles() {
		t.Errorf("%d of %d", n, openFiles())
	}
}
