//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// What the layers cost is less than this machine's speed changes from one
// measurement to the next. So they are measured in one process, in turns of
// milliseconds: one connection for each way of using tapstack's sockets, and
// each moves turnSize over the same TAP before the next one does. What else
// goes on falls on all alike, and it is the ratios of neighbours of which the
// median is taken.

// socketsTurns has the server listen in every one of turnWays.
const socketsTurns = "turns"

// turnWays in the order of their ports. Each is compared with the one before.
var turnWays = [...]string{socketsDirect, "", socketsAccounting}

// turnOrders are all orders of turnWays.
var turnOrders = [][len(turnWays)]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}, {1, 0, 2}}

// turnSize is what a turn moves unless a test says otherwise, in bytes: several
// milliseconds' worth, beside which the round trip at its end is little.
const turnSize = 32 << 20

// turnIn and turnOut begin a turn: whether the server reads, and then answers
// with a byte, or writes. Four bytes follow, big-endian: how much.
const (
	turnIn  = 'i'
	turnOut = 'o'
)

// serveTurns listens in every way.
func (s *sut) serveTurns() error {
	n, ok := s.network.(ours)
	if !ok {
		return errors.New("only tapstack has several ways of using its sockets")
	}
	defer func() { s.network = n }()
	for i, how := range turnWays {
		n := n
		n.sockets = how
		s.network = n
		if err := s.serve(sutAddr(turnPort+i, false), takeTurns); err != nil {
			return err
		}
	}
	return nil
}

func takeTurns(c net.Conn) {
	buf := make([]byte, ioSize)
	for {
		if _, err := io.ReadFull(c, buf[:5]); err != nil {
			return
		}
		move := writeTurn
		if buf[0] == turnIn {
			move = readTurn
		}
		if move(c, buf, int(binary.BigEndian.Uint32(buf[1:]))) != nil {
			return
		}
	}
}

// askTurn begins a turn.
func askTurn(c net.Conn, which byte, size int) error {
	_, err := c.Write(binary.BigEndian.AppendUint32([]byte{which}, uint32(size)))
	return err
}

// writeTurn writes size bytes, as buf has them.
func writeTurn(c net.Conn, buf []byte, size int) error {
	for ; size > 0; size -= len(buf) {
		if _, err := c.Write(buf[:min(len(buf), size)]); err != nil {
			return err
		}
	}
	return nil
}

// readTurn reads size bytes, and says so.
func readTurn(c net.Conn, buf []byte, size int) error {
	if err := drainTurn(c, buf, size); err != nil {
		return err
	}
	_, err := c.Write(buf[:1])
	return err
}

func drainTurn(c net.Conn, buf []byte, size int) error {
	for size > 0 {
		n, err := c.Read(buf[:min(len(buf), size)])
		if err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// turnsEach is how many turns a connection gets before the next pass makes new
// ones: what a connection has come to (its windows, a loss) stays with it, and
// is not to be taken for what its way costs.
const turnsEach = 4

// turns takes them, for o.Span after o.Warm, and reports what each way takes
// above the one before it, in percent.
func turns(o order) (answer, error) {
	move := moveOut
	if o.Op == "turns in" {
		move = moveIn
	}
	var took [len(turnWays)][]float64
	begin := time.Now().Add(o.Warm)
	for end := begin.Add(o.Span); len(took[0]) == 0 || time.Now().Before(end); {
		counts := time.Now().After(begin)
		pass, err := turnsOnce(move, o.N, len(took[0]))
		if err != nil {
			return answer{}, err
		}
		for i := range took {
			if counts {
				took[i] = append(took[i], pass[i])
			}
		}
	}
	var a answer
	for i := range took[1:] {
		a.Costs = append(a.Costs, cost(took[i+1], took[i]))
	}
	return a, nil
}

// turnsOnce makes a connection for each way and returns how long its turns
// took, in seconds, without the first. Who follows whom, and is connected when,
// changes from pass to pass: it makes a difference of several percent.
func turnsOnce(move func(net.Conn, []byte, int) error, size, pass int) (took [len(turnWays)]float64, err error) {
	var conns [len(turnWays)]net.Conn
	order := turnOrders[pass%len(turnOrders)]
	for _, i := range order {
		c, err := dial(turnPort+i, false)
		if err != nil {
			return took, err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience / 2))
		conns[i] = c
	}
	buf := make([]byte, ioSize)
	for turn := range 1 + turnsEach {
		for at := range order {
			i := order[(at+turn)%len(order)]
			start := time.Now()
			if err := move(conns[i], buf, size); err != nil {
				return took, fmt.Errorf("a turn of %q: %w", turnWays[i], err)
			}
			if turn > 0 {
				took[i] += time.Since(start).Seconds()
			}
		}
	}
	return took, nil
}

func moveOut(c net.Conn, buf []byte, size int) error {
	if err := askTurn(c, turnOut, size); err != nil {
		return err
	}
	return drainTurn(c, buf, size)
}

func moveIn(c net.Conn, buf []byte, size int) error {
	if err := askTurn(c, turnIn, size); err != nil {
		return err
	}
	if err := writeTurn(c, buf, size); err != nil {
		return err
	}
	_, err := c.Read(buf[:1])
	return err
}

// cost is what a took above b, in percent: the median over their pairs.
func cost(a, b []float64) float64 {
	ratios := slices.Clone(a)
	for i := range ratios {
		ratios[i] = 100 * (a[i]/b[i] - 1)
	}
	return median(ratios)
}

// layerCosts is a run of the peer's.
func layerCosts(op string) func(context.Context, *pair, config) ([]float64, error) {
	return func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
		a, err := p.peer.call(ctx, order{Op: op, N: cfg.turn, Warm: cfg.warm, Span: cfg.span})
		if err == nil && len(a.Costs) != len(turnWays)-1 {
			err = fmt.Errorf("%d costs, want %d", len(a.Costs), len(turnWays)-1)
		}
		return a.Costs, err
	}
}
