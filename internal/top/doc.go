// Package top is tapstack top: the sockets of a daemon's stack on a full
// screen, each with both buffers as bars, what passes it, and what holds it up.
//
//	Client.WatchSockets -> feed -> looked ┐
//	terminal -> screen.event -> Key, Resize ┴-> Model.Update -> Model.View -> screen.draw
//	                                             └-> Action: ask again, quit
//
// The daemon sorts, filters and reckons rates, and sends only as many sockets
// as are shown (api.SocketWatchQuery). [Model] is values in, values out: no
// clock, no terminal, no daemon.
//
// The terminal library is tcell: tagged releases, seven modules of which three
// are golang.org/x's that this program has anyway; bubbletea pulls in fifteen,
// its renderer an untagged commit, and tview a tcell of the year before for
// widgets that are not needed here.
//
// Goroutines: tcell's while [Run] runs, and one that reads from the daemon; Run
// waits for both.
package top
