// Package world puts one test into every world that tapstack's sockets live
// in, so that each test says only "listen here, dial there":
//
//	pipe   two stacks of ours, joined in memory
//	TAP    a stack of ours and the kernel, in a private network namespace,
//	       both ways round: the server ours, and the client ours
//
// each over IPv4 and IPv6. [Each] runs a test in all six, [TAP] only in those
// with the server ours, for programs that run on the kernel's side ([Link.Run],
// [Link.Start]).
//
// All that a test sends and receives is captured, the first bytes of each
// frame. The file is kept when the test fails; the log says where.
package world
