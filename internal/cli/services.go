package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// Services prints services, forwards and proxies, with what each has done.
func Services(ctx context.Context, c *client.Client, asJSON func(any) error, w io.Writer) error {
	list, err := c.Services(ctx)
	if err != nil {
		return err
	}
	if asJSON != nil {
		return asJSON(list)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tON\tLISTENS\tTO\tOPEN\tOPENED\tIN\tOUT\t")
	for i := range list {
		s := &list[i]
		name := s.Name
		if s.Kind == "forward" {
			name = "forward." + name
		}
		target := s.Target
		if target == "" {
			target = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%d\t%d\t%d\t%d\t%s\n",
			name, s.Side, s.Network, s.Address, target, s.Active, s.Opened, s.BytesIn, s.BytesOut, remarks(s))
	}
	return t.Flush()
}

// remarks is what is not as it is most of the time.
func remarks(s *api.Service) string {
	var out []string
	if s.Retired {
		out = append(out, "retired")
	}
	for _, one := range []struct {
		what string
		n    map[string]uint64
	}{{"refused", s.Refused}, {"denied", s.Denied}} {
		for _, cause := range slices.Sorted(maps.Keys(one.n)) {
			out = append(out, fmt.Sprintf("%s %d (%s)", one.what, one.n[cause], cause))
		}
	}
	if s.Dropped > 0 {
		out = append(out, fmt.Sprintf("%d datagrams dropped", s.Dropped))
	}
	return strings.Join(out, ", ")
}
