package socketapi_test

import (
	"net/netip"
	"sync"
	"testing"

	"tapstack/socketapi"
)

// TestListenerIsSetWhileItAccepts: a listener's options may change beside
// Accept, which takes the old ones or the new.
func TestListenerIsSetWhileItAccepts(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil)
	l, err := socketapi.Listen(b, "tcp", netip.AddrPortFrom(b4.Addr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	so := l.Socket()
	set := func(i int) {
		if err := so.SetOption(socketapi.SO_SNDBUF, 10_000+i%2); err != nil {
			t.Error(err)
		}
		if err := so.SetLinger(i % 2); err != nil {
			t.Error(err)
		}
	}
	set(0)
	kept := socketapi.Remembered(so)
	stop := make(chan struct{})
	var setter sync.WaitGroup
	setter.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				set(i)
			}
		}
	})
	for range 20 {
		c, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if size := s.SendBuffer().Size; size != 10_000 && size != 10_001 {
			t.Errorf("a send buffer of %d", size)
		}
		_, _ = c.Close(), s.Close()
	}
	close(stop)
	setter.Wait()
	if n := socketapi.Remembered(so); n != kept {
		t.Errorf("%d settings are kept after many calls, %d after the first", n, kept)
	}
}
