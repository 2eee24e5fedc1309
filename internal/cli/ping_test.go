package cli

import "testing"

func TestThreeDigits(t *testing.T) {
	for ms, want := range map[float64]string{
		0: "0.000", 0.0425: "0.043", 0.42: "0.420", 0.9999: "1.00", 4.2: "4.20", 9.999: "10.0", 42: "42.0", 99.99: "100", 1234.5: "1234",
	} {
		if got := threeDigits(ms); got != want {
			t.Errorf("%v: %q, want %q", ms, got, want)
		}
	}
}
