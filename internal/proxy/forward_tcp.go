package proxy

import "fmt"

// TCPForward is a TCP port of one network that leads to an address of another.
type TCPForward struct {
	Options

	// Target is where connections go, in Options.Dial's network.
	Target string

	// SendPROXY has every connection to the target begin with a PROXY header.
	SendPROXY Version
}

// ForwardTCP starts a forward. A client is accepted before the target is
// dialled, for there is no other way to a connection through sockets: where the
// target refuses, the client is reset.
//
// Errors: those of Options.Listen, with the service's name.
func ForwardTCP(cfg TCPForward) (*Service, error) {
	s := newService("forward-tcp", cfg.Target, &cfg.Options)
	if cfg.SendPROXY > PROXYv2 {
		return nil, s.failure(fmt.Errorf("PROXY protocol version %d: there are 1 and 2", cfg.SendPROXY))
	}
	l, err := s.listen()
	if err != nil {
		return nil, err
	}
	s.handle = func(c *session) error {
		early, err := c.hello(nil)
		if err != nil {
			return err
		}
		header, err := c.header(cfg.SendPROXY)
		if err != nil {
			return refuse(CauseFailed, err)
		}
		target, err := s.dial(s.fresh, "tcp", cfg.Target)
		if err != nil {
			return err
		}
		return c.relay(target, header, early)
	}
	s.start(l)
	return s, nil
}
