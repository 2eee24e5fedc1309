package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector is a prometheus.Collector over the table of families.
type collector struct{ cfg Config }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range families {
		ch <- families[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := take(c.cfg)
	s.emit(ch)
}

// emit turns numbers into metrics. What has the same labels twice, as two
// devices of one name have, is added up.
func (s *snapshot) emit(ch chan<- prometheus.Metric) {
	for i := range families {
		f := &families[i]
		type series struct {
			labels []string
			sum    float64
		}
		sums := make(map[string]*series)
		var order []*series
		f.each(s, func(v float64, labels ...string) {
			key := ""
			for _, l := range labels {
				key += l + "\xff" // in no valid text
			}
			one := sums[key]
			if one == nil {
				one = &series{labels: labels}
				sums[key] = one
				order = append(order, one)
			}
			one.sum += v
		})
		for _, one := range order {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, one.sum, one.labels...)
		}
	}
}

// A family is one metric: where its series come from.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	each func(*snapshot, add)
}

// add is given the value and labels of one series.
type add func(v float64, labels ...string)

func counter(name, help string, each func(*snapshot, add), labels ...string) family {
	return family{prometheus.NewDesc("tapstack_"+name, help, labels, nil), prometheus.CounterValue, each}
}

func gauge(name, help string, each func(*snapshot, add), labels ...string) family {
	return family{prometheus.NewDesc("tapstack_"+name, help, labels, nil), prometheus.GaugeValue, each}
}

// number is a family of one series.
func number[N ~uint64 | ~int](get func(*snapshot) N) func(*snapshot, add) {
	return func(s *snapshot, to add) { to(float64(get(s))) }
}
