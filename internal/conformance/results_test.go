package conformance

import (
	"bytes"
	"os"
	"testing"
)

// TestResults demands that RESULTS.md is what is expected, with a reason for
// everything that does not pass and nothing left for us to fix, and that what
// shows the requirements of RFC 9293 is there and passes. None of it needs
// other people's scripts.
func TestResults(t *testing.T) {
	expected, err := ReadOutcomes(data + "expected.json")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := ReadReasons(data + "reasons.toml")
	if err != nil {
		t.Fatal(err)
	}
	musts, err := ReadRequirements(data + "rfc9293.toml")
	if err != nil {
		t.Fatal(err)
	}
	times, err := ReadTimes(data + "times.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range reasons.Unexplained(expected, expected.Suites()) {
		t.Error(line)
	}
	for _, line := range CheckShown(musts, expected, root) {
		t.Error(line)
	}
	want := Write(expected, reasons, musts, &times)
	if *write {
		if err := os.WriteFile(data+"RESULTS.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(data + "RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error(`RESULTS.md is not what expected.json, reasons.toml, rfc9293.toml and times.json make: run "make conformance"`)
	}
}
