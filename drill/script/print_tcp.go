package script

import "encoding/hex"

func (w *printer) tcp(t *TCP) {
	w.sayf("%s %s:%s(%s)", t.Flags, t.Seq, t.End, t.Len)
	w.named("ack", t.Ack)
	w.named("win", t.Win)
	w.named("urg", t.Urg)
	if len(t.Options) > 0 || t.AnyOptions {
		w.say(" <")
		for i, o := range t.Options {
			if i > 0 {
				w.say(",")
			}
			w.tcpOption(o)
		}
		if t.AnyOptions {
			if len(t.Options) > 0 {
				w.say(",")
			}
			w.say("...")
		}
		w.say(">")
	}
	w.payload(t.Payload)
}

func (w *printer) tcpOption(o TCPOption) {
	switch o := o.(type) {
	case *MSS:
		w.say("mss ", o.Size.String())
	case *NOP:
		w.say("nop")
	case *EOL:
		w.say("eol")
	case *SACKPermitted:
		w.say("sackOK")
	case *WindowScale:
		w.say("wscale ", o.Shift.String())
	case *Timestamp:
		w.say("TS val ", o.Val.String(), " ecr ", o.Ecr.String())
	case *SACK:
		w.say("sack")
		for _, b := range o.Blocks {
			w.say(" ", b.Start.String(), ":", b.End.String())
		}
	case *FastOpen:
		w.say("FO")
		if o.Exp {
			w.say("EXP")
		}
		w.data(o.Cookie)
	case *MD5:
		w.say("md5")
		w.data(o.Digest[:])
	case *AccECN:
		w.say("ECN")
		for _, c := range o.Counters {
			w.named(c.Name, c.Value)
		}
	case *Experiment:
		w.say("exp")
		if o.Kind254 {
			w.say("254")
		}
		w.say(" ", o.ID.String())
		w.data(o.Data)
	case *OtherOption:
		w.say("kind ", o.Kind.String())
		w.data(o.Data)
	}
}

func (w *printer) data(b []byte) {
	if len(b) > 0 {
		w.say(" ", hex.EncodeToString(b))
	}
}
