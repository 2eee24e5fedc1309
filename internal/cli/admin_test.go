package cli

import "testing"

func TestRestartText(t *testing.T) {
	for what, want := range map[string]string{
		"control.path":                        "control.path: differs in the file, and takes a restart",
		"nic.tap1 (added)":                    "nic.tap1: is new in the file, and takes a restart",
		"nic.tap1 (added): make TAP: needs X": "nic.tap1: is new in the file, and takes a restart (make TAP: needs X)",
		"nic.tap0 (removed)":                  "nic.tap0: is no longer in the file, and takes a restart",
	} {
		if got := restartText(what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}
