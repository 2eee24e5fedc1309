package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleReport has a workload with a spread, one that failed on a target, and
// one beside the headline.
func sampleReport() *report {
	r := &report{
		facts: []fact{{"cores", "2"}},
		results: []*result{
			{Workload: "tcp_rx", Unit: "Gbit/s", Better: "higher", Runs: map[string][]float64{}, title: "TCP in"},
			{Workload: "rtt_p50_us", Unit: "µs", Better: "lower", Runs: map[string][]float64{}, title: "Round trip <&>"},
			{Workload: "tcp_rx_bbr", Unit: "Gbit/s", Better: "higher", Runs: map[string][]float64{}, title: "TCP in (bbr)", section: otherwise},
			{Workload: "forward_rx", Unit: "Gbit/s", Better: "higher", Runs: map[string][]float64{}, title: "Forwarded", section: relayed, beside: "tcp_rx"},
		},
	}
	for _, v := range []float64{40, 42.123456, 41} {
		r.add("tcp_rx", "tapstack", v)
	}
	r.add("tcp_rx", "kernel", 20.5)
	r.add("tcp_rx", "plain", 1)
	r.add("rtt_p50_us", "tapstack", 34)
	r.add("rtt_p50_us", "kernel", 62)
	r.add("tcp_rx_bbr", "tapstack", 20)
	r.add("forward_rx", "tapstack", 20.5)
	r.add("forward_rx", slirpName, 2)
	r.add("not asked for", "tapstack", 20)
	r.fail("rtt_p50_us on plain: stalled\ngoroutine 1 ...")
	return r
}

func TestJSON(t *testing.T) {
	b, err := sampleReport().json()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 4 {
		t.Fatalf("%d entries, want 4", len(list))
	}
	for i, want := range []int{7, 7, 7, 8} { // slirp4netns where it takes part
		if len(list[i]) != want {
			t.Errorf("%d fields, want %d: %v", len(list[i]), want, list[i])
		}
	}
	if list[3]["slirp4netns"] != 2.0 {
		t.Errorf("slirp4netns: %v", list[3])
	}
	rx, rtt := list[0], list[1]
	if rx["workload"] != "tcp_rx" || rx["unit"] != "Gbit/s" || rx["better"] != "higher" {
		t.Errorf("first entry: %v", rx)
	}
	if rx["tapstack"] != 41.0 || rx["kernel"] != 20.5 || rx["plain"] != 1.0 {
		t.Errorf("medians: %v", rx)
	}
	if runs := rx["runs"].(map[string]any)["tapstack"].([]any); len(runs) != 3 || runs[1] != 42.12 {
		t.Errorf("runs: %v", runs)
	}
	if v, there := rtt["plain"]; !there || v != nil {
		t.Errorf("a failed target is %v, want null", v)
	}
}

func TestJSONOfNothingIsAList(t *testing.T) {
	b, err := (&report{}).json()
	if err != nil || strings.TrimSpace(string(b)) != "[]" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestMarkdown(t *testing.T) {
	md := sampleReport().markdown()
	for _, want := range []string{
		"- cores: 2\n",
		"| tcp_rx | Gbit/s | higher | 41.0 (40.0–42.1) | 20.5 | 1.00 | 2.00x | 41.0x |\n",
		"| rtt_p50_us | µs | lower | 34.0 | 62.0 | none | 0.548x |  |\n",
		"## Through forwards and proxies",
		"| forward_rx | Gbit/s | higher | 20.5 | none | none | 2.00 |  | 10.2x | 0.500x of tcp_rx |\n",
		"## Under other conditions",
		"- rtt_p50_us on plain: stalled\n",
	} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q in:\n%s", want, md)
		}
	}
	if strings.Contains(md, "goroutine 1") {
		t.Error("the table has a goroutine dump")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0123: "0.0123", 0.734: "0.734", 1: "1.00", 41.23: "41.2", 123.4: "123", 999.9: "1000",
		1000: "1,000", 16_912: "16,900", 1_234_567: "1,230,000", -1234: "-1,230", math.Inf(1): "+Inf",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) is %q, want %q", v, got, want)
		}
	}
}

func TestSVG(t *testing.T) {
	for name, r := range map[string]*report{"sample": sampleReport(), "empty": {}} {
		d := xml.NewDecoder(strings.NewReader(string(r.svg())))
		cards := 0
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: not XML: %v", name, err)
			}
			if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "g" {
				cards++
			}
		}
		if want := min(2, len(r.results)); cards != want {
			t.Errorf("%s: %d cards, want %d: those of the headline", name, cards, want)
		}
	}
}

func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	r := sampleReport()
	if err := r.writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bench.json", "bench.md", "bench.svg", "failures.txt"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.failures = nil
	if err := r.writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "failures.txt")); err == nil {
		t.Error("failures.txt of an earlier run is still there")
	}
}
