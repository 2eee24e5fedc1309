package script_test

import (
	"strings"
	"testing"

	"tapstack/drill/script"
)

func BenchmarkParse(b *testing.B) {
	src := strings.Repeat("+0 < . 1:1001(1000) ack 1 win 257 <nop,nop,sack 1:2>\n+0 write(4, ..., 1000) = 1000\n", 1000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := script.Parse("x", src, nil); err != nil {
			b.Fatal(err)
		}
	}
}
