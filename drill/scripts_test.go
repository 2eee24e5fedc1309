package drill_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tapstack/drill"
	"tapstack/tap/capture"
)

const ownScripts = "../testdata/drill"

// own lists the scripts of ours.
func own(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(ownScripts + "/*.pkt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	return files
}

// TestScripts runs our scripts over every version of IP, and leaves no packet
// unexpected. One that fails leaves a capture.
func TestScripts(t *testing.T) {
	for _, path := range own(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".pkt"), func(t *testing.T) {
			for _, ip := range []string{"ipv6", "ipv4-mapped-ipv6"} {
				// What speaks of one version is not to be had over the other.
				res := drill.RunFile(path, &drill.Config{Mode: drill.StrictEnd, IP: ip, WallLimit: hung})
				if res.Outcome == drill.Fail {
					t.Error(ip, res)
				}
			}
			res := drill.RunFile(path, &drill.Config{Mode: drill.StrictEnd, WallLimit: hung})
			if res.Outcome == drill.Pass {
				return
			}
			t.Error(res)
			dir, err := os.MkdirTemp("", "drill")
			if err != nil {
				t.Fatal(err)
			}
			drill.RunFile(path, &drill.Config{Capture: func(host string) (io.WriteCloser, error) {
				name := filepath.Join(dir, "wire"+host+".pcapng")
				t.Log("what was on the wire:", name)
				return os.Create(name)
			}})
		})
	}
}

// memory is a capture file that is not on disk.
type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

// racy has many connections whose segments, timers and readers come together:
// what happens first is decided by nothing but the order in which a stack that
// is not waited for happens to do things.
const racy = `
0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 100) = 0
for N in 1..24 {
	+0 < ${40000 + N} > 8080 S 0:0(0) win 65535 <mss 1000,sackOK,TS val 1 ecr 0,nop,wscale 7>
}
for N in 1..24 {
	+0 > [8080 > ${40000 + N}] S. 0:0(0) ack 1 <...>
	+0 < ${40000 + N} > 8080 . 1:1(0) ack 1 win 512 <nop,nop,TS val 2 ecr 1>
	+0 accept(3, ..., ...) = (N + 3)
}
for N in 1..24 {
	+0 write(N + 3, ..., 20000) = 20000
	+0 < ${40000 + N} > 8080 P. 1:1001(1000) ack 1 win 512 <nop,nop,TS val 3 ecr 1>
	+0 < ${40000 + N} > 8080 P. 2001:3001(1000) ack 1 win 512 <nop,nop,TS val 3 ecr 1>
	+0 read(N + 3, ..., 700) = 700
}
for N in 1..24 step 2 {
	+0.01 < ${40000 + N} > 8080 . 3001:3001(0) ack 5001 win 512 <nop,nop,TS val 4 ecr 1>
}
+3 close(4) = 0
`

// TestDeterminism runs the same scenario many times on several numbers of
// processors and demands the same capture, byte for byte.
func TestDeterminism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want [32]byte
	frames, runs := 0, *repeat
	if raceEnabled {
		runs = min(runs, 3)
	}
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		for i := range runs {
			var file memory
			res := drill.RunText("racy", racy, &drill.Config{
				Seed: 7, Capture: func(string) (io.WriteCloser, error) { return &file, nil },
			})
			if res.Outcome != drill.Pass {
				t.Fatal(res)
			}
			// Here one of gVisor's processors hands a segment to another.
			if res := drill.RunFile(ownScripts+"/timewait-makes-room-for-a-new-syn.pkt", nil); res.Outcome != drill.Pass {
				t.Fatalf("run %d with GOMAXPROCS %d: %v", i, n, res)
			}
			sum := sha256.Sum256(file.Bytes())
			if want == ([32]byte{}) {
				want, frames = sum, countFrames(t, file.Bytes())
			}
			if sum != want {
				t.Fatalf("run %d with GOMAXPROCS %d has another capture", i, n)
			}
		}
	}
	const least = 500
	if frames < least {
		t.Errorf("the scenario has %d frames; it should have %d to be one", frames, least)
	}
}

func countFrames(t *testing.T, file []byte) int {
	t.Helper()
	r, err := capture.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSeed demands that another seed gives other numbers.
func TestSeed(t *testing.T) {
	var files [2]memory
	for i := range files {
		drill.RunText("racy", racy, &drill.Config{
			Seed: uint64(i), Capture: func(string) (io.WriteCloser, error) { return &files[i], nil },
		})
	}
	if bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("two seeds, one capture")
	}
}

func ExampleRunText() {
	res := drill.RunText("refused.pkt", `
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
0...60 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)
+0   > S 0:0(0) <...>
1    > S 0:0(0) <...>
60   < R. 0:0(0) ack 1 win 0
`, nil)
	fmt.Println(res)
	fmt.Println("a minute of it:", res.Virtual)
	// Output:
	// refused.pkt: pass
	// a minute of it: 1m0s
}
