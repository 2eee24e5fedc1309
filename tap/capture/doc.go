// Package capture records the frames that pass a device, reads capture files
// back, and replays them.
//
//	the stack  <---  Device  <---  the device it wraps  <---  kernel
//	                   |  copies each frame
//	                   v
//	                  ring  --->  one goroutine  --->  pcapng file
//
// [Wrap] puts a device around a device. Off, it costs one atomic load per
// frame. [Device.Start] switches a capture on, while frames pass, and
// [Capture.Stop] switches it off; several captures may run at once. [Open]
// reads what Wireshark, tcpdump or this package wrote, [Replay] writes it into
// a device.
//
// The data path never waits for a file: it copies a frame into a ring of
// bounded size and goes on. A full ring loses the record, never the frame, and
// counts it. One goroutine per running capture empties the ring into the file;
// it ends with the capture, and Stop waits for it.
//
// Frames are recorded as they pass. With offloads that is before they are cut
// and summed: Wireshark shows frames of up to 64 KiB, larger than the MTU, and
// on some of them a transport checksum that is not finished ("may be caused by
// checksum offload"). How such a frame was offloaded is in its comment, and
// Open makes a [tap.Offload] of it again.
package capture
