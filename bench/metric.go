package main

// metric is a number that a workload ends in.
type metric struct {
	name, title, unit string
	better            string // "higher" or "lower"
	beside            string // the workload without a relay, of one that goes through
}

// slirpName is the program and the target: a userspace stack in C (libslirp) on
// a TAP, what rootless containers forward their ports with.
const slirpName = "slirp4netns"

// in is toward the system under test, out away from it.
var (
	tcpRx    = metric{"tcp_rx", "TCP in, one flow", "Gbit/s", "higher", ""}
	tcpTx    = metric{"tcp_tx", "TCP out, one flow", "Gbit/s", "higher", ""}
	tcpRx4   = metric{"tcp_rx_4", "TCP in, four flows", "Gbit/s", "higher", ""}
	tcpTx4   = metric{"tcp_tx_4", "TCP out, four flows", "Gbit/s", "higher", ""}
	tcpRx6   = metric{"tcp_rx_v6", "TCP in, IPv6", "Gbit/s", "higher", ""}
	tcpTx6   = metric{"tcp_tx_v6", "TCP out, IPv6", "Gbit/s", "higher", ""}
	rtt50    = metric{"rtt_p50_us", "Round trip, median", "µs", "lower", ""}
	rtt99    = metric{"rtt_p99_us", "Round trip, 99th percentile", "µs", "lower", ""}
	rps      = metric{"http_rps", "HTTP requests", "1/s", "higher", ""}
	connRate = metric{"conn_rate", "Connections made", "1/s", "higher", ""}
	udpRx    = metric{"udp_rx_pps", "UDP datagrams in", "1/s", "higher", ""}
	udpTx    = metric{"udp_tx_pps", "UDP datagrams out", "1/s", "higher", ""}
	udpTx64  = metric{"udp_tx_batch_pps", "UDP datagrams out, 64 a call", "1/s", "higher", ""}
	memory   = metric{"mem_per_conn", "Memory per idle connection", "bytes", "lower", ""}
	cpuRx    = metric{"cpu_per_gb_rx", "CPU per GB in", "s", "lower", ""}
	cpuTx    = metric{"cpu_per_gb_tx", "CPU per GB out", "s", "lower", ""}
	idleCPU  = metric{"idle_cpu", "CPU when idle", "% of a core", "lower", ""}

	// From a port of the host's to a host behind the link.
	forwardRx     = metric{"forward_rx", "Forwarded in, one flow", "Gbit/s", "higher", "tcp_rx"}
	forwardTx     = metric{"forward_tx", "Forwarded out, one flow", "Gbit/s", "higher", "tcp_tx"}
	socks5Rx      = metric{"socks5_rx", "In by SOCKS5, one flow", "Gbit/s", "higher", "tcp_rx"}
	socks5Tx      = metric{"socks5_tx", "Out by SOCKS5, one flow", "Gbit/s", "higher", "tcp_tx"}
	connectRx     = metric{"http_connect_rx", "In by HTTP CONNECT, one flow", "Gbit/s", "higher", "tcp_rx"}
	connectTx     = metric{"http_connect_tx", "Out by HTTP CONNECT, one flow", "Gbit/s", "higher", "tcp_tx"}
	forwardRTT    = metric{"forward_rtt_p50_us", "Round trip through a forward, median", "µs", "lower", "rtt_p50_us"}
	forwardMemory = metric{"forward_mem", "Process with all forwarded connections", "MB", "lower", ""}

	// Of the time that a transfer takes (turns.go).
	layerRx   = metric{"layer_cost_rx", "socketapi over the endpoint, in", "%", "lower", ""}
	layerTx   = metric{"layer_cost_tx", "socketapi over the endpoint, out", "%", "lower", ""}
	accountRx = metric{"account_cost_rx", "Accounting over none, in", "%", "lower", ""}
	accountTx = metric{"account_cost_tx", "Accounting over none, out", "%", "lower", ""}
)
