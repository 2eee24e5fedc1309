package demo

import (
	"context"
	"io"
	"net/netip"
	"time"

	"tapstack/socketapi"
)

// unread is what the last chapter leaves in a receive buffer for its table.
const unread = 3000

// table lists every TCP socket of the stack with both its buffers.
func (st *story) table(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l, err := st.listen("tcp", netip.AddrPortFrom(ours6.Addr(), 5004).String())
	if err != nil {
		return err
	}
	defer l.Close()
	far, near, err := connect(ctx, l, st.far.DialContext)
	if err != nil {
		return err
	}
	st.kept = append(st.kept, far, near)
	if _, err := io.CopyN(far, noise(9, unread), unread); err != nil {
		return err
	}
	conn := near.(*socketapi.TCPConn)
	if err := until(ctx, func() (bool, error) { return conn.ReceiveBuffer().Queued == unread, nil }); err != nil {
		return err
	}

	rows := [][]string{{"State", "Recv-Q", "Send-Q", "Local", "Peer", "rcv size/window", "snd size/unsent/window"}}
	var listed, listeners bool
	for _, s := range socketapi.TCPSockets(st.s) {
		if s.State == socketapi.Listening {
			listeners = true
			rows = append(rows, []string{s.State.String(), "0", "0", endpoint(s.Local), "*", "", ""})
			continue
		}
		if s.State == socketapi.Established && s.Receive.Queued == unread {
			listed = true
		}
		rows = append(rows, []string{
			s.State.String(), count(s.Receive.Queued), count(s.Send.Queued), endpoint(s.Local), endpoint(s.Remote),
			count(s.Receive.Size) + " / " + count(s.Receive.Window),
			count(s.Send.Size) + " / " + count(s.Send.Unsent) + " / " + count(s.Send.Window),
		})
	}
	st.grid(rows...)
	st.check("the table shows what we left unread", listed && listeners, "a connection with %d bytes in Recv-Q, and the listeners", unread)
	return nil
}

func endpoint(ap netip.AddrPort) string {
	if !ap.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port()).String()
	}
	return ap.String()
}
