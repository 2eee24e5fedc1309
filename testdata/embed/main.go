package main // prints this file, fetched from a web server on a stack of its own

import (
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

func main() {
	near, far := tap.Pipe(nil) // for the kernel at the far end: near := must(tap.Open(&tap.Config{Host: ...}))
	server, client := must(stack.New(nil)), must(stack.New(nil))
	must(server.AddNIC(near, &stack.NICConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}}))
	must(client.AddNIC(far, &stack.NICConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}))
	go http.Serve(must(socketapi.Listen(server, "tcp", ":80")), http.FileServer(http.Dir(".")))
	web := http.Client{Transport: &http.Transport{DialContext: (&socketapi.Dialer{Stack: client}).DialContext}}
	must(io.Copy(os.Stdout, must(web.Get("http://192.0.2.2/main.go")).Body))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
