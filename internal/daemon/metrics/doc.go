// Package metrics shows a stack and the daemon around it to Prometheus.
//
//	GET -> Handler -> collector.Collect -> take: Stack.Stats, TCPSockets,
//	                                             tap.InterfaceOf, Services
//	                                    -> families: one table, a line a metric
//	end of a connection -> Ended -> histograms
//
// Everything else is counted by those who do the work, whether anybody looks or
// not; a scrape reads their counters. Three things were chosen:
//
//   - What is true now (sockets by state, bytes in buffers) is summed up at the
//     scrape, by one walk over the sockets. At most [maxScrapes] run at a time.
//   - Distributions (RTT, the time data spends in buffers) get one observation
//     for each connection, when it ends. Looked at by the scrape, a histogram
//     would count the scrapes: twice as many connections with two Prometheuses.
//     A connection that never ends is in the sums and in no histogram.
//   - How long data spends in buffers is known only of connections that keep an
//     account (socketapi.TCPConn.SetAccounting), which costs something a
//     segment. What is not known is not observed.
//
// No label has a value that a peer chooses: none is an address or a port. The
// number of series is bounded by the configuration: see [maxServices].
//
// There is no goroutine. pprof is a handler of its own, [Profiles], as it is not
// for everybody who may see metrics.
package metrics
