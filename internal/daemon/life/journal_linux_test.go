package life

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestToJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		"": false, "1:2": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
	} {
		if got := ToJournal(w, func(string) string { return value }); got != want {
			t.Errorf("JOURNAL_STREAM=%q: %v", value, got)
		}
	}
	w.Close()
	if ToJournal(w, func(string) string { return fmt.Sprintf("%d:%d", st.Dev, st.Ino) }) {
		t.Error("a closed file")
	}
}
