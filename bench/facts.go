//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, the unit of /proc/stat on every Linux.
const ticksPerSecond = 100

// machineCPU is how many seconds all cores together have worked, for anyone.
func machineCPU() (float64, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseCPU(string(b))
}

// parseCPU reads the first line of /proc/stat: "cpu user nice system idle
// iowait irq softirq steal ...". Idle, iowait and what another guest of the
// host stole are not work; guest time is in user already.
func parseCPU(stat string) (float64, error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: unexpected line %q", line)
	}
	sum := 0.0
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return sum / ticksPerSecond, nil
}

// processCPU is this process's CPU time in seconds, user and system.
func processCPU() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // cannot fail with these arguments
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}

// residentBytes is this process's Rss as smaps counts it.
func residentBytes() (float64, error) { return residentBytesOf("self") }

// residentBytesOf is another's, by its number.
func residentBytesOf(process string) (float64, error) {
	return kiloBytes(filepath.Join("/proc", process, "smaps_rollup"), "Rss:")
}

// slabBytes is all memory of the kernel's object caches: sockets and what
// belongs to them, but of the whole machine.
func slabBytes() (float64, error) { return kiloBytes("/proc/meminfo", "Slab:") }

// kiloBytes finds a line such as "Rss:  1234 kB".
func kiloBytes(file, key string) (float64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) == 3 && f[0] == key {
			n, err := strconv.ParseFloat(f[1], 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("%s: no %s", file, key)
}

// twoCores are the first two that we may run on, the peer's and the system
// under test's; ok is false if there are not two.
func twoCores() (cores [2]int, ok bool) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return [2]int{-1, -1}, false
	}
	found := 0
	for cpu := 0; cpu < 8*len(set)*8 && found < 2; cpu++ {
		if set.IsSet(cpu) {
			cores[found] = cpu
			found++
		}
	}
	if found < 2 {
		return [2]int{-1, -1}, false
	}
	return cores, true
}

// machineFacts are lines about the machine.
func machineFacts() []fact {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return []fact{
		{"cores", fmt.Sprintf("%d, %s", runtime.NumCPU(), cpuModel())},
		{"kernel", fmt.Sprintf("%s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]))},
		{"Go", runtime.Version() + " " + runtime.GOARCH},
	}
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if key, value, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown model"
}

// load is how busy the machine has been in the last minute: a number well
// above 0 before the run says that others were at work.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
