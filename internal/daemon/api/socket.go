package api

import "time"

// Socket is one socket. Of a listener there are no buffers.
type Socket struct {
	Protocol string `json:"protocol"`         // "tcp" or "udp"
	State    string `json:"state,omitempty"`  // TCP's, as RFC 9293 has it
	Local    string `json:"local"`            // "address:port", "*:port" for any address
	Remote   string `json:"remote,omitempty"` // none unless connected

	// Service is the service, forward or proxy that the socket belongs to, if
	// that was asked for and there is one: "echo", "forward.web", "socks5".
	Service string `json:"service,omitempty"`

	// RecvQ and SendQ are what ss(8) shows under these heads, in payload
	// bytes: acknowledged and not read, written and not acknowledged.
	RecvQ int `json:"recvQ"`
	SendQ int `json:"sendQ"`

	Send    *SendBuffer    `json:"send,omitempty"`
	Receive *ReceiveBuffer `json:"receive,omitempty"`
	Info    Fields         `json:"info,omitempty"`
	Holdup  *Holdup        `json:"holdup,omitempty"`
}

// SocketWatch is one look at the sockets, with what has passed since the look
// before.
type SocketWatch struct {
	Time    time.Time       `json:"time"`
	Links   []LinkTraffic   `json:"links"`
	States  map[string]int  `json:"states"`  // how many TCP sockets are in each, and under "UDP" the others
	Matched int             `json:"matched"` // how many the query takes; fewer may be shown
	Sockets []WatchedSocket `json:"sockets"`
}

// WatchedSocket is a socket with what passes it. Rates are payload bytes per
// second, of UDP datagrams per second.
type WatchedSocket struct {
	Socket Socket `json:"socket"`
	Rates  *Rates `json:"rates,omitempty"` // none at the first look that finds it
}

// Rates are by the second, since the look before.
type Rates struct {
	In  float64 `json:"in"`  // acknowledged by us
	Out float64 `json:"out"` // acknowledged by the peer
}

// LinkTraffic is what passes a link, frames with their headers.
type LinkTraffic struct {
	Name  string     `json:"name"`
	Rx    LinkCounts `json:"rx"`
	Tx    LinkCounts `json:"tx"`
	Rates *LinkRates `json:"rates,omitempty"` // none at the first look
}

// LinkRates are by the second, since the look before.
type LinkRates struct {
	RxBytes  float64 `json:"rxBytes"`
	TxBytes  float64 `json:"txBytes"`
	RxFrames float64 `json:"rxFrames"`
	TxFrames float64 `json:"txFrames"`
}

// SendBuffer is a connection's send buffer, in payload bytes.
type SendBuffer struct {
	Size   int `json:"size"`
	Queued int `json:"queued"`
	Unsent int `json:"unsent"`
	Free   int `json:"free"`
	Window int `json:"window"` // the peer's
}

// ReceiveBuffer is a socket's receive buffer, in payload bytes.
type ReceiveBuffer struct {
	Size    int    `json:"size"`
	Queued  int    `json:"queued"`
	Free    int    `json:"free"`
	Window  int    `json:"window"`            // ours, TCP's
	Dropped uint64 `json:"dropped,omitempty"` // datagrams that found it full
}

// Holdup is what has held a connection up since it is kept account of. Shares
// are of Watched.
type Holdup struct {
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"` // watched

	Application float64 `json:"application"`
	SendBuffer  float64 `json:"sendBuffer"`
	Congestion  float64 `json:"congestion"`
	PeerWindow  float64 `json:"peerWindow"`
	Device      float64 `json:"device"`
	Other       float64 `json:"other"`
}
