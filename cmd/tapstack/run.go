package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"tapstack/internal/daemon"
	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/privilege"
)

func runCommand() *cobra.Command {
	var file, socket string
	var f daemon.Flags
	var over overrides
	cmd := &cobra.Command{
		Use:   "run [-c FILE | --nic NAME --address PREFIX ...]",
		Short: "Run a stack and its services in the foreground, until SIGINT or SIGTERM",
		Long: `Run a stack and its services in the foreground, until SIGINT or SIGTERM.

It makes a TAP in this network namespace, which takes root or CAP_NET_ADMIN,
and answers on it with addresses of its own; with --adopt it uses one that an
administrator has made, for which its owner needs no privilege. When everything
is open it becomes an unprivileged user ("tapstack" if there is one, otherwise
"nobody") without capabilities, who can open few files and make few system
calls; the log says what is in force. A first SIGINT or SIGTERM closes every
connection properly, for five seconds at most; a second one ends at once. SIGHUP
has the file read again.`,
		Example: `  tapstack run --nic tap0 --address 192.168.77.2/24 --host 192.168.77.1/24 --echo :7 --http :80
  tapstack run --nic tap7 --adopt --address 192.168.77.2/24 --echo :7
  tapstack run -c /etc/tapstack.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configuration(cmd, file, &f, over.given(cmd))
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("socket") {
				if err := cfg.SetSocket(socket); err != nil {
					return err
				}
			}
			if err := over.apply(cmd, cfg); err != nil {
				return err
			}
			return runDaemon(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVarP(&file, "config", "c", "", "read a TOML `file` instead of the flags below")
	fl.StringVar(&f.NIC, "nic", "", "`name` of the TAP to make")
	fl.StringSliceVar(&f.Address, "address", nil, "our address with its `prefix` length; repeat for more")
	fl.StringSliceVar(&f.Host, "host", nil, "the same for the kernel's end; without one it is left alone")
	fl.IntVar(&f.MTU, "mtu", 1500, "IP MTU in `bytes`")
	fl.BoolVar(&f.Adopt, "adopt", false, "take over the TAP of that name, with its MTU, and leave it when done")
	fl.IntVar(&f.Queues, "queues", 1, "`number` of the TAP's queues")
	fl.BoolVar(&f.Plain, "plain", false, "do without offloads, by the portable driver")
	fl.StringVar(&f.Spin, "spin", "", "how long a reader looks again before it sleeps: a `time` such as 50us, or never (default 100us)")
	fl.StringSliceVar(&f.Routes, "route", nil, "a `route`, such as \"default via 192.168.77.1\"; repeat for more")
	fl.StringVar(&f.Services.Echo, "echo", "", "where to echo TCP and UDP, such as `:7`")
	fl.StringVar(&f.Services.Discard, "discard", "", "where to read and forget, such as `:9`")
	fl.StringVar(&f.Services.Chargen, "chargen", "", "where to write until the peer closes, such as `:19`")
	fl.StringVar(&f.Services.Daytime, "daytime", "", "where to tell the time over TCP and UDP, such as `:13`")
	fl.StringVar(&f.Services.HTTP, "http", "", "where to serve a status page, such as `:80`")
	fl.StringVar(&f.Services.Root, "http-root", "", "a `directory` whose files --http serves, too; none whose name begins with a dot")
	fl.BoolVar(&f.Services.List, "http-list", false, "answer a directory of --http-root without an index.html with its names")
	fl.StringVar(&f.SOCKS5, "socks5", "", "where on this machine to be a SOCKS 5 proxy into the stack's network, such as `127.0.0.1:1080`")
	fl.StringVar(&f.HTTPProxy, "http-proxy", "", "where on this machine to be an HTTP proxy into it, such as `127.0.0.1:3128`")
	fl.StringVar(&socket, "socket", "", "where to be controlled: a `path` for the control socket, in place of the file's")
	over.add(cmd)
	return cmd
}

// overrides are flags that go above what the file says.
type overrides []override

type override struct {
	flag, setting string
	value         *string
}

func (o *overrides) add(cmd *cobra.Command) {
	for _, f := range []struct{ flag, setting, usage string }{
		{"user", "process.user", "whom to become when everything is open: a `name` or number, or root to stay"},
		{"group", "process.group", "and of which `group`; the user's unless given"},
		{"seccomp", "process.seccomp", "limit system calls: `auto`, required, off, or log to refuse none and log them"},
		{"landlock", "process.landlock", "limit the files that can be opened: `auto`, required or off"},
		{"metrics", "metrics.listen", "loopback `address` for Prometheus, such as 127.0.0.1:9477"},
		{"log-level", "log.level", "the least `level`: debug, info, warn or error"},
		{"log-format", "log.format", "`text` or json"},
	} {
		*o = append(*o, override{f.flag, f.setting, cmd.Flags().String(f.flag, "", f.usage)})
	}
}

// given is how many there are.
func (o overrides) given(cmd *cobra.Command) (n int) {
	for _, f := range o {
		if cmd.Flags().Changed(f.flag) {
			n++
		}
	}
	return n
}

func (o overrides) apply(cmd *cobra.Command, cfg *daemon.Config) error {
	for _, f := range o {
		if cmd.Flags().Changed(f.flag) {
			if err := cfg.Override(f.setting, *f.value, "--"+f.flag); err != nil {
				return err
			}
		}
	}
	return nil
}

// configuration is the file's or the flags', whichever was given. Beside a file
// there may be overrides.
func configuration(cmd *cobra.Command, file string, f *daemon.Flags, overrides int) (*daemon.Config, error) {
	flags := cmd.Flags()
	if !flags.Changed("config") {
		if f.Adopt && !flags.Changed("mtu") {
			f.MTU = 0
		}
		return f.Config()
	}
	others := flags.NFlag() - 1 - overrides
	if flags.Changed("socket") {
		others--
	}
	if others > 0 {
		return nil, &daemon.ConfigError{Where: "-c", Err: errors.New("settings come from a file or from flags, not both: leave out one")}
	}
	return daemon.Load(file)
}

// runDaemon runs until the first signal; a second one ends the program. Before
// privileges are dropped, all that talks to the outside is opened.
func runDaemon(ctx context.Context, cfg *daemon.Config, stdout, stderr io.Writer) error {
	signals := life.Catch(ctx)
	defer signals.Stop()
	manager, err := life.NewNotifier(os.Getenv)
	if err != nil {
		return &daemon.ConfigError{Err: err}
	}
	defer manager.Close()
	file, isFile := stderr.(*os.File)
	log, limiter, err := life.NewLog(stderr, life.LogConfig{
		Format: cfg.Log.Format,
		Level:  slog.LevelDebug, // the daemon's own level decides
		NoTime: isFile && life.ToJournal(file, os.Getenv),
	})
	if err != nil {
		return &daemon.ConfigError{Err: err}
	}
	defer limiter.Close()
	version, revision := built()
	d := daemon.Daemon{
		Config: cfg,
		Log:    log.Handler(),
		Ready: func(r *daemon.Ready) {
			_ = r.Print(stdout) // nobody there to read it is no reason to end
		},
		Reload:   signals.Reload,
		Manager:  manager,
		Drop:     privilege.Drop,
		Version:  version,
		Revision: revision,
	}
	return d.Run(signals.Drain)
}
