package life

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier speaks sd_notify(3) to the service manager. A nil Notifier is that
// of a program without one: its methods do nothing. The others are safe for
// concurrent use.
//
// It is ours, not go-systemd's: that one looks the socket up and connects anew
// for each message, which a sandboxed process may no longer do.
type Notifier struct {
	conn     *net.UnixConn
	interval time.Duration // of the watchdog, 0 for none
}

// NewNotifier connects to the socket of NOTIFY_SOCKET, a path or, with "@", an
// abstract name. It is nil, without an error, if there is none. getenv is
// os.Getenv; the variables stay set: programs started by this one should not
// see them, but it starts none.
func NewNotifier(getenv func(string) string) (*Notifier, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%q: want a path, or @ and a name", name)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	if n.interval, err = watchdogOf(getenv); err != nil {
		conn.Close()
		return nil, err
	}
	return n, nil
}

// watchdogOf is sd_watchdog_enabled(3).
func watchdogOf(getenv func(string) string) (time.Duration, error) {
	text := getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil // meant for another process
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(1<<62/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q: want a number of microseconds", text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// send is one datagram. The manager's socket being full, or gone while it
// restarts, is no reason to wait or to fail.
func (n *Notifier) send(state string) error {
	if n == nil {
		return nil
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := n.conn.Write([]byte(state))
	return err
}

// Ready says that what depends on this service may start, and after Reloading
// that it is over.
func (n *Notifier) Ready(status string) error {
	return n.send("READY=1\nSTATUS=" + oneLine(status))
}

// Reloading says that the configuration is being read again; Ready follows. It
// tells when, as Type=notify-reload wants to know.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	state := "RELOADING=1"
	if usec := monotonic(); usec > 0 {
		state += fmt.Sprintf("\nMONOTONIC_USEC=%d", usec)
	}
	return n.send(state)
}

// Stopping says that the service ends, which may take a while.
func (n *Notifier) Stopping(status string) error {
	return n.send("STOPPING=1\nSTATUS=" + oneLine(status))
}

// Status is what systemctl status shows.
func (n *Notifier) Status(text string) error { return n.send("STATUS=" + oneLine(text)) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Close lets go of the socket.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// Watchdog is the interval within which the manager wants to hear that we
// live, 0 if it does not.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.interval
}

// errNoAnswer: alive took longer than there is.
var errNoAnswer = errors.New("no answer")

// Watch keeps the watchdog quiet for as long as alive answers nil, asked every
// half interval, until ctx is done. It returns at once without a watchdog.
//
// alive has to go through what the service lives by: take its locks, have its
// goroutines answer. One that does not return is asked no second time before it
// does; meanwhile nothing is sent, and the manager does what the unit says. Its
// context ends with ctx, and after half the interval.
func (n *Notifier) Watch(ctx context.Context, log *slog.Logger, alive func(context.Context) error) {
	half := n.Watchdog() / 2
	if half == 0 {
		return
	}
	tick := time.NewTicker(half)
	defer tick.Stop()
	answer := make(chan error, 1)
	asked := false
	for {
		if !asked {
			asked = true
			go func() {
				limited, cancel := context.WithTimeout(ctx, half)
				defer cancel()
				answer <- alive(limited)
			}()
		}
		select {
		case err := <-answer:
			asked = false
			if err == nil {
				err = n.send("WATCHDOG=1")
			}
			if err != nil && ctx.Err() == nil {
				log.Error("watchdog: not well", "err", err)
			}
		case <-tick.C:
			log.Error("watchdog: not well", "err", errNoAnswer)
			continue
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
