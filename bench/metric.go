package main

// metric is a number that a workload ends in.
type metric struct {
	name, title, unit string
	better            string // "higher" or "lower"
}

// in is toward the system under test, out away from it.
var (
	tcpRx    = metric{"tcp_rx", "TCP in, one flow", "Gbit/s", "higher"}
	tcpTx    = metric{"tcp_tx", "TCP out, one flow", "Gbit/s", "higher"}
	tcpRx4   = metric{"tcp_rx_4", "TCP in, four flows", "Gbit/s", "higher"}
	tcpTx4   = metric{"tcp_tx_4", "TCP out, four flows", "Gbit/s", "higher"}
	tcpRx6   = metric{"tcp_rx_v6", "TCP in, IPv6", "Gbit/s", "higher"}
	tcpTx6   = metric{"tcp_tx_v6", "TCP out, IPv6", "Gbit/s", "higher"}
	rtt50    = metric{"rtt_p50_us", "Round trip, median", "µs", "lower"}
	rtt99    = metric{"rtt_p99_us", "Round trip, 99th percentile", "µs", "lower"}
	rps      = metric{"http_rps", "HTTP requests", "1/s", "higher"}
	connRate = metric{"conn_rate", "Connections made", "1/s", "higher"}
	udpRx    = metric{"udp_rx_pps", "UDP datagrams in", "1/s", "higher"}
	udpTx    = metric{"udp_tx_pps", "UDP datagrams out", "1/s", "higher"}
	udpTx64  = metric{"udp_tx_batch_pps", "UDP datagrams out, 64 a call", "1/s", "higher"}
	memory   = metric{"mem_per_conn", "Memory per idle connection", "bytes", "lower"}
	cpuRx    = metric{"cpu_per_gb_rx", "CPU per GB in", "s", "lower"}
	cpuTx    = metric{"cpu_per_gb_tx", "CPU per GB out", "s", "lower"}
	idleCPU  = metric{"idle_cpu", "CPU when idle", "% of a core", "lower"}
)
