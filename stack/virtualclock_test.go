package stack_test

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"tapstack/stack"
)

func ExampleVirtualClock() {
	clock := stack.NewVirtualClock()
	start := clock.Now()
	beats := 0
	var again func()
	again = func() {
		beats++
		clock.AfterFunc(time.Minute, again)
	}
	clock.AfterFunc(time.Minute, again)
	clock.Advance(time.Hour)
	fmt.Println(beats, "beats,", clock.Now().Sub(start), "later")
	// Output: 60 beats, 1h0m0s later
}

func TestVirtualClockOrder(t *testing.T) {
	c := stack.NewVirtualClock()
	start := c.Now()
	var fired []string
	at := func(name string, d time.Duration) { // the name and when it fired
		c.AfterFunc(d, func() { fired = append(fired, name+c.Now().Sub(start).String()) })
	}
	at("c", 3*time.Second)
	at("a", time.Second)
	at("b", time.Second)
	at("now", 0)
	at("past", -time.Hour)
	c.AfterFunc(2*time.Second, func() { at("nested", 0); at("late", 5*time.Second) })
	if len(fired) != 0 {
		t.Error("fired before anyone stepped:", fired)
	}
	if next, ok := c.Next(); !ok || !next.Equal(start) {
		t.Errorf("next at %v, %v; want now", next.Sub(start), ok)
	}
	c.Advance(4 * time.Second)
	want := []string{"now0s", "past0s", "a1s", "b1s", "nested2s", "c3s"}
	if !reflect.DeepEqual(fired, want) {
		t.Errorf("fired %v; want %v", fired, want)
	}
	if now := c.Now().Sub(start); now != 4*time.Second {
		t.Errorf("it is %v; want 4s", now)
	}
	if next, _ := c.Next(); next.Sub(start) != 7*time.Second {
		t.Errorf("next at %v; want 7s", next.Sub(start))
	}
	c.AdvanceTo(start)
	if now := c.Now().Sub(start); now != 4*time.Second {
		t.Error("time went back to", now)
	}
}

func TestVirtualClockTimer(t *testing.T) {
	c := stack.NewVirtualClock()
	n := 0
	tm := c.AfterFunc(time.Second, func() { n++ })
	other := c.AfterFunc(2*time.Second, func() { n += 10 })
	if !tm.Stop() || tm.Stop() {
		t.Error("Stop: want true once")
	}
	c.Advance(time.Second)
	if n != 0 {
		t.Error("a stopped timer fired")
	}
	tm.Reset(5 * time.Second)
	tm.Reset(3 * time.Second)
	other.Reset(time.Second)
	if !c.Step() || n != 10 || !c.Step() || n != 11 || c.Step() {
		t.Errorf("after Reset: n is %d; want each to fire once, the earlier first", n)
	}
	if tm.Stop() {
		t.Error("Stop of a timer that fired: want false")
	}
	if m := c.NowMonotonic(); !m.After((stack.NewVirtualClock()).NowMonotonic()) {
		t.Error("the monotonic clock does not follow")
	}
}

// Applications take turns in the order in which they were started, and again
// after they have waited; nobody runs beside another.
func TestApplicationsTakeTurns(t *testing.T) {
	clock := stack.NewVirtualClock()
	var got []string
	running := 0
	for _, name := range []string{"a", "b", "c"} {
		clock.Go(func() {
			for i := range 3 {
				running++
				if running != 1 {
					t.Errorf("%s runs beside %d others", name, running-1)
				}
				got = append(got, fmt.Sprint(name, i))
				running--
				clock.Sleep(time.Second)
			}
			if name == "b" {
				clock.Go(func() { got = append(got, "child") })
			}
		})
	}
	if len(got) != 0 {
		t.Errorf("%v ran before Settle", got)
	}
	clock.Run(10 * time.Second)
	want := []string{"a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2", "child"}
	if !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
	if d := clock.Now().Sub(stack.NewVirtualClock().Now()); d != 10*time.Second {
		t.Errorf("%v have passed; want 10 s", d)
	}
	clock.Park(func() bool { return false }) // of no application: returns at once
}

// An application that ends by runtime.Goexit, as t.FailNow does, gives its turn
// back too.
func TestApplicationGoexit(t *testing.T) {
	clock := stack.NewVirtualClock()
	clock.Go(func() { runtime.Goexit() })
	ran := false
	clock.Go(func() { ran = true })
	clock.Settle()
	if !ran {
		t.Error("the other application did not run")
	}
}
