//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
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

// turnSize is what a turn moves, in bytes: several milliseconds' worth, beside
// which the round trip at its end is little.
const turnSize = 32 << 20

// turnIn and turnOut are the byte that begins a turn: whether the server reads,
// and then answers with a byte, or writes.
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
		if _, err := c.Read(buf[:1]); err != nil {
			return
		}
		move := writeTurn
		if buf[0] == turnIn {
			move = readTurn
		}
		if move(c, buf) != nil {
			return
		}
	}
}

// writeTurn writes turnSize bytes, as buf has them.
func writeTurn(c net.Conn, buf []byte) error {
	for range turnSize / len(buf) {
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// readTurn reads turnSize bytes, and says so.
func readTurn(c net.Conn, buf []byte) error {
	if err := drainTurn(c, buf); err != nil {
		return err
	}
	_, err := c.Write(buf[:1])
	return err
}

func drainTurn(c net.Conn, buf []byte) error {
	for left := turnSize; left > 0; {
		n, err := c.Read(buf[:min(len(buf), left)])
		if err != nil {
			return err
		}
		left -= n
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
	for end := begin.Add(o.Span); time.Now().Before(end); {
		counts := time.Now().After(begin)
		pass, err := turnsOnce(move, len(took[0]))
		if err != nil {
			return answer{}, err
		}
		for i := range took {
			if counts {
				took[i] = append(took[i], pass[i])
			}
		}
	}
	if len(took[0]) == 0 {
		return answer{}, fmt.Errorf("%w: no turn ended in %v", errNothing, o.Span)
	}
	var a answer
	for i := range took[1:] {
		a.Costs = append(a.Costs, cost(took[i+1], took[i]))
	}
	return a, nil
}

// turnsOnce makes a connection for each way and returns how long its turns
// took, in seconds, without the first. Who begins changes from pass to pass.
func turnsOnce(move func(net.Conn, []byte) error, pass int) (took [len(turnWays)]float64, err error) {
	var conns [len(turnWays)]net.Conn
	for i := range conns {
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
		for i := range conns {
			i = (i + turn + pass) % len(conns)
			start := time.Now()
			if err := move(conns[i], buf); err != nil {
				return took, fmt.Errorf("a turn of %q: %w", turnWays[i], err)
			}
			if turn > 0 {
				took[i] += time.Since(start).Seconds()
			}
		}
	}
	return took, nil
}

func moveOut(c net.Conn, buf []byte) error {
	if _, err := c.Write([]byte{turnOut}); err != nil {
		return err
	}
	return drainTurn(c, buf)
}

func moveIn(c net.Conn, buf []byte) error {
	if _, err := c.Write([]byte{turnIn}); err != nil {
		return err
	}
	if err := writeTurn(c, buf); err != nil {
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
		a, err := p.peer.call(ctx, order{Op: op, Warm: cfg.warm, Span: cfg.span})
		if err == nil && len(a.Costs) != len(turnWays)-1 {
			err = fmt.Errorf("%d costs, want %d", len(a.Costs), len(turnWays)-1)
		}
		return a.Costs, err
	}
}
