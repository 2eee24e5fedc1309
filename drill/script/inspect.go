package script

// Inspect calls f for a node and, where f returns true, for those in it, in
// the order of the script. A *Script is not a node: see [Script.Inspect].
func Inspect(n Node, f func(Node) bool) {
	if !f(n) {
		return
	}
	switch n := n.(type) {
	case *Event:
		inspectExpr(n.Time.Expr, f)
		Inspect(n.Action, f)
	case *Call:
		inspectAll(n.Args, f)
		Inspect(n.Result, f)
	case *Code:
		inspectAll(n.Stmts, f)
	case *For:
		inspectAll(n.Values, f)
		inspectAll(n.Body, f)
	case *Param:
		inspectAll(n.Values, f)
	case *Link:
		inspectAll(n.Loss, f)
		inspectValues(f, n.Queue)
	case *Host:
		inspectValues(f, n.MTU)
	case *Span:
		inspectExpr(n.From, f)
		inspectExpr(n.To, f)
		inspectExpr(n.Step, f)
	case *Assert:
		inspectExpr(n.Cond, f)
		inspectExpr(n.Msg, f)
	case *PrintStmt:
		inspectAll(n.Args, f)
	case *Assign:
		Inspect(n.Value, f)
	case Expr:
		inspectParts(n, f)
	default:
		inspectPacket(n, f)
	}
}

// Inspect calls f for everything in the script, as the function does.
func (s *Script) Inspect(f func(Node) bool) {
	inspectAll(s.Options, f)
	inspectAll(s.Params, f)
	inspectAll(s.Hosts, f)
	inspectAll(s.Links, f)
	inspectAll(s.Conns, f)
	inspectAll(s.Events, f)
}

func inspectAll[N Node](ns []N, f func(Node) bool) {
	for _, n := range ns {
		Inspect(n, f)
	}
}

// inspectExpr takes nil for what is not written.
func inspectExpr(x Expr, f func(Node) bool) {
	if x != nil {
		Inspect(x, f)
	}
}

func inspectParts(x Expr, f func(Node) bool) {
	switch x := x.(type) {
	case *Unary:
		Inspect(x.X, f)
	case *Binary:
		Inspect(x.X, f)
		Inspect(x.Y, f)
	case *Compare:
		inspectAll(x.Operands, f)
	case *Range:
		Inspect(x.From, f)
		Inspect(x.To, f)
	case *Apply:
		Inspect(x.Func, f)
		inspectAll(x.Args, f)
	case *Select:
		Inspect(x.X, f)
	case *List:
		inspectAll(x.Elems, f)
	case *Struct:
		for _, field := range x.Fields {
			Inspect(field, f)
		}
	case *Number, *String, *Name, *Ellipsis, *Any:
	}
}

func inspectPacket(n Node, f func(Node) bool) {
	switch n := n.(type) {
	case *Field:
		inspectExpr(n.Len, f)
		Inspect(n.Value, f)
	case *Formula:
		Inspect(n.X, f)
	case *Packet:
		inspectAll(n.Outer, f)
		if n.IP != nil {
			Inspect(n.IP, f)
		}
		if n.Ports != nil {
			Inspect(n.Ports, f)
		}
		Inspect(n.Body, f)
	case *GREHeader:
		inspectValues(f, n.Flags, n.Sum, n.Off, n.Key, n.Seq)
	case *MPLSHeader:
		inspectAll(n.Stack, f)
	case *MPLSEntry:
		inspectValues(f, n.Label, n.TC, n.TTL)
	case *IPInfo:
		inspectValues(f, n.TOS, n.TTL, n.FlowLabel, n.ID)
		if n.Frag != nil {
			Inspect(n.Frag, f)
		}
	case *Fragment:
		inspectValues(f, n.From, n.To)
	case *Ports:
		inspectValues(f, n.Src, n.Dst)
	case *TCP:
		inspectValues(f, n.Seq, n.End, n.Len, n.Ack, n.Win, n.Urg)
		inspectAll(n.Options, f)
		inspectPayload(n.Payload, f)
	case *UDP:
		inspectValues(f, n.Len)
		inspectPayload(n.Payload, f)
	case *ICMP:
		inspectValues(f, n.MTU, n.ID, n.Seq, n.Len)
		inspectPayload(n.Payload, f)
		if n.Quote != nil {
			Inspect(n.Quote, f)
		}
	case *Quote:
		inspectValues(f, n.Seq, n.End, n.Len)
	case TCPOption:
		inspectOption(n, f)
	}
}

func inspectPayload(s *String, f func(Node) bool) {
	if s != nil {
		Inspect(s, f)
	}
}

func inspectOption(o TCPOption, f func(Node) bool) {
	switch o := o.(type) {
	case *MSS:
		inspectValues(f, o.Size)
	case *WindowScale:
		inspectValues(f, o.Shift)
	case *Timestamp:
		inspectValues(f, o.Val, o.Ecr)
	case *SACK:
		for _, b := range o.Blocks {
			inspectValues(f, b.Start, b.End)
		}
	case *AccECN:
		for _, c := range o.Counters {
			inspectValues(f, c.Value)
		}
	case *Experiment:
		inspectValues(f, o.ID)
	case *OtherOption:
		inspectValues(f, o.Kind)
	}
}

// inspectValues goes into the formulas; a Value is no node.
func inspectValues(f func(Node) bool, vs ...Value) {
	for _, v := range vs {
		if v.Kind == Computed {
			Inspect(v.Expr, f)
		}
	}
}
